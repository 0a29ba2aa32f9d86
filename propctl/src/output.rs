//! All that propctl says: results on stdout, everything else on stderr.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::{cli::Format, error::Failure, json, pages::Listed};

/// A message of the contracts that is shown.
pub(crate) trait Row: prost::Message {
    /// Full name in the contracts.
    const MESSAGE: &'static str;
    const COLUMNS: &'static [&'static str];

    fn cells(&self) -> Vec<String>;
}

#[derive(Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn list<R: Row>(&self, listed: &Listed<R>) -> Result<(), Failure> {
        listed.note_more();
        self.print(
            || {
                let items: Result<_, _> = listed
                    .items
                    .iter()
                    .map(|item| json::of(R::MESSAGE, item))
                    .collect();
                Ok(Value::Array(items?))
            },
            || table(R::COLUMNS, listed.items.iter().map(R::cells)),
        )
    }

    /// One message; absent is a fault of the service.
    pub(crate) fn one<R: Row>(&self, message: Option<&R>) -> Result<(), Failure> {
        let message = message.ok_or_else(|| Failure::incomplete(R::MESSAGE))?;
        self.one_and(message, &[])
    }

    /// One message with lines under its table, for people alone.
    pub(crate) fn one_and<R: Row>(&self, message: &R, lines: &[String]) -> Result<(), Failure> {
        self.print(
            || json::of(R::MESSAGE, message),
            || {
                let mut text = table(R::COLUMNS, std::iter::once(message.cells()));
                for line in lines {
                    text.push('\n');
                    text.push_str(line);
                }
                text
            },
        )
    }

    /// What was done where no message tells it.
    pub(crate) fn done(&self, object: Value, sentence: &str) -> Result<(), Failure> {
        self.print(|| Ok(object), || harmless(sentence))
    }

    /// The columns of what is told line by line.
    pub(crate) fn begin<R: Row>(&self) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            Format::Table => line(&format!("{}  CURSOR", R::COLUMNS.join("  "))).map(drop),
        }
    }

    /// One line for a message as it comes, with what a later stream goes on
    /// from; false when nobody reads it any more.
    pub(crate) fn next<R: Row>(&self, message: &R, cursor: &str) -> Result<bool, Failure> {
        line(&match self.format {
            Format::Json => {
                let mut object = json::of(R::MESSAGE, message)?;
                object["cursor"] = cursor.into();
                object.to_string()
            }
            Format::Table => {
                let cells = message.cells();
                let cells: Vec<String> = cells.iter().map(|cell| harmless(cell)).collect();
                format!("{}  {}", cells.join("  "), harmless(cursor))
            }
        })
    }

    pub(crate) fn print(
        &self,
        json: impl FnOnce() -> Result<Value, Failure>,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => format!("{:#}", json()?),
            Format::Table => text(),
        };
        line(&text).map(drop)
    }
}

/// False when whoever reads has seen enough, as with `| head`.
fn line(text: &str) -> Result<bool, Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Local(format!("stdout: {error}"))),
        Ok(()) => Ok(true),
    }
}

impl Output {
    /// One of many lines that come by and by; false when nobody reads them.
    pub(crate) fn line(
        &self,
        json: impl FnOnce() -> Result<Value, Failure>,
        text: impl FnOnce() -> String,
    ) -> Result<bool, Failure> {
        line(&match self.format {
            Format::Json => json()?.to_string(),
            Format::Table => harmless(&text()),
        })
    }
}

pub(crate) fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(columns.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| harmless(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Text of others must not command the operator's terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

pub(crate) fn note(line: &str) {
    complain(&[line.to_owned()]);
}

/// Nobody is left to tell when stderr is closed.
pub(crate) fn complain(lines: &[String]) {
    let mut stderr = io::stderr().lock();
    for line in lines {
        let _ = writeln!(stderr, "propctl: {}", harmless(line));
    }
}

/// A question on stderr, so that stdout stays a result.
pub(crate) fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{} ", harmless(question));
    let _ = stderr.flush();
}

/// `DEVICE_KIND_DOOR` as `door`.
pub(crate) fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// Nothing, in a table, is a dash.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".into()
    } else {
        text.into()
    }
}

/// `1 line`, `2 lines`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {one}{many}")
}

pub(crate) fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_plain_columns_and_no_control_characters() {
        let text = table(
            &["ID", "NAME"],
            [vec!["1".into(), "a\u{1b}[2Jb".into()]].into_iter(),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["ID  NAME", "1   a\u{fffd}[2Jb"]);
    }
}
