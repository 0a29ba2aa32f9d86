//! The log, or a part of it, to a file that can be checked without the service.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    path::Path,
};

use audit_log::{
    VerifierKey,
    export::{Header, proved_line, whole_line},
    tree::{WIDTH, hashes},
};
use propdev_proto::access::{
    AuditEntry, GetLogRequest, GetLogResponse, ProveEntriesRequest, SearchEntriesRequest,
};

use super::{
    Filter, Form, LogClient, client, read_row,
    show::{CSV_HEADER, csv},
    text,
    verify::path,
};
use crate::{connection::Session, error::Failure, input::STDIN, output::note};

/// Entries proved in one call.
const PROVED: usize = 100;
const PAGE: u32 = 500;

pub(super) async fn run(
    session: &Session,
    filter: &Filter,
    form: Form,
    to: &Path,
) -> Result<(), Failure> {
    let mut log = client(session)?;
    let state = log.get_log(GetLogRequest {}).await?.into_inner();
    let mut file = File::create(to)?;
    let count = match form {
        Form::Jsonl if state.size == 0 => return Err(Failure::incomplete("a checkpoint")),
        Form::Jsonl if filter.asks_for_all() => whole(&mut log, &state, &mut file).await?,
        Form::Jsonl => selection(&mut log, &state, filter, &mut file).await?,
        Form::Csv => plain(&mut log, filter, &mut file).await?,
    };
    file.finish()?;
    note(&format!("{count} entries"));
    Ok(())
}

fn header(state: &GetLogResponse, whole: bool) -> Result<String, Failure> {
    VerifierKey::parse(&state.verifier_key)
        .ok()
        .and_then(|key| Header::new(&key, &state.checkpoint, whole).to_line().ok())
        .ok_or_else(|| Failure::incomplete("the log's key"))
}

/// Every number up to the checkpoint's, with the tree's hash.
async fn whole(
    log: &mut LogClient,
    state: &GetLogResponse,
    file: &mut File,
) -> Result<u64, Failure> {
    file.line(&header(state, true)?)?;
    let mut count = 0;
    for row in 0..state.size.div_ceil(WIDTH) {
        let (first, end) = (row * WIDTH, state.size.min((row + 1) * WIDTH));
        let (entries, stored) = read_row(log, row).await?;
        let mut entries = entries.into_iter().peekable();
        let stored = stored.unwrap_or_default();
        for (number, hash) in (first..end).zip(hashes(&stored)) {
            let entry = entries.next_if(|entry| entry.number == number);
            count += u64::from(entry.is_some());
            let payload = entry.as_ref().map(text).transpose()?;
            let line = whole_line(number, payload, hash);
            file.line(&line.ok_or_else(|| no_json(number))?)?;
        }
    }
    Ok(count)
}

/// What is asked for, each entry with its proof.
async fn selection(
    log: &mut LogClient,
    state: &GetLogResponse,
    filter: &Filter,
    file: &mut File,
) -> Result<u64, Failure> {
    file.line(&header(state, false)?)?;
    let mut count = 0;
    let mut token = String::new();
    loop {
        let (entries, next) = page(log, filter, token).await?;
        let numbers: Vec<u64> = entries
            .iter()
            .map(|entry| entry.number)
            .filter(|number| *number < state.size)
            .collect();
        for numbers in numbers.chunks(PROVED) {
            let request = ProveEntriesRequest {
                numbers: numbers.to_vec(),
                size: state.size,
                ..ProveEntriesRequest::default()
            };
            for proved in log.prove_entries(request).await?.into_inner().entries {
                let entry = proved.entry.unwrap_or_default();
                let path = path(&proved.path)?;
                let line = proved_line(entry.number, text(&entry)?, &path);
                file.line(&line.ok_or_else(|| no_json(entry.number))?)?;
                count += 1;
            }
        }
        if next.is_empty() {
            return Ok(count);
        }
        token = next;
    }
}

async fn plain(log: &mut LogClient, filter: &Filter, file: &mut File) -> Result<u64, Failure> {
    file.line(CSV_HEADER)?;
    let mut count = 0;
    let mut token = String::new();
    loop {
        let (entries, next) = page(log, filter, token).await?;
        for entry in &entries {
            file.line(&csv(entry)?)?;
            count += 1;
        }
        if next.is_empty() {
            return Ok(count);
        }
        token = next;
    }
}

/// Oldest first, and the token of the next page.
async fn page(
    log: &mut LogClient,
    filter: &Filter,
    token: String,
) -> Result<(Vec<AuditEntry>, String), Failure> {
    let request = SearchEntriesRequest {
        oldest_first: true,
        ..filter.request(PAGE, token)
    };
    let reply = log.search_entries(request).await?.into_inner();
    Ok((reply.entries, reply.next_page_token))
}

fn no_json(number: u64) -> Failure {
    Failure::Outcome {
        message: format!("entry {number} was changed: it is no JSON"),
        exit_code: Failure::REFUSED,
    }
}

/// A file that was not there, or stdout.
struct File {
    to: String,
    writer: BufWriter<Box<dyn Write + Send>>,
}

impl File {
    fn create(path: &Path) -> Result<Self, Failure> {
        let to = path.display().to_string();
        let writer: Box<dyn Write + Send> = if path == Path::new(STDIN) {
            Box::new(std::io::stdout())
        } else {
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            Box::new(file.map_err(|error| Failure::Usage(format!("{to}: {error}")))?)
        };
        Ok(Self {
            to,
            writer: BufWriter::new(writer),
        })
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.writer, "{line}")
            .map_err(|error| Failure::Local(format!("{}: {error}", self.to)))
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.writer
            .flush()
            .map_err(|error| Failure::Local(format!("{}: {error}", self.to)))
    }
}
