//! A CSV file of an operator (RFC 4180): its columns by name, and where each record began.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use csv::{ByteRecord, ReaderBuilder};
use zeroize::Zeroizing;

use crate::{error::Failure, input::STDIN, output::counted};

/// Far above any register's.
const LARGEST: u64 = 256 * 1024 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What is wrong in a line, without what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: u32,
    pub(crate) field: String,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(line: u32, field: &str, detail: impl Into<String>) -> Self {
        Self {
            line,
            field: field.to_owned(),
            detail: detail.into(),
        }
    }
}

pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
}

/// Cells of one record by column.
pub(crate) struct Record {
    pub(crate) line: u32,
    cells: Vec<(&'static str, Zeroizing<String>)>,
}

impl Record {
    /// Without spaces around it; empty where the column is absent.
    pub(crate) fn text(&self, column: &str) -> &str {
        let cell = self.cells.iter().find(|(name, _)| *name == column);
        cell.map_or("", |(_, text)| text.trim())
    }
}

pub(crate) struct Records {
    pub(crate) good: Vec<Record>,
    pub(crate) faults: Vec<Fault>,
    /// With those that have faults.
    pub(crate) count: usize,
}

/// All of a file, or of stdin for `-`.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let fault = |error: io::Error| Failure::Usage(format!("{}: {error}", path.display()));
    if path == Path::new(STDIN) {
        return all_of(io::stdin().lock(), LARGEST).map_err(fault);
    }
    if fs::metadata(path).map_err(fault)?.len() > LARGEST {
        return Err(fault(too_long()));
    }
    fs::read(path).map(Zeroizing::new).map_err(fault)
}

/// What was cut would be taken for a whole.
fn all_of(source: impl Read, largest: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    source.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(too_long());
    }
    Ok(bytes)
}

fn too_long() -> io::Error {
    io::Error::other("is longer than 256 MiB")
}

/// With the header's faults no record is read: nobody knows what its cells are.
pub(crate) fn parse(bytes: &[u8], columns: &'static [Column]) -> Records {
    let text = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let mut lines = Lines::new(text);
    let mut records = reader.byte_records();
    let mut parsed = Records {
        good: Vec::new(),
        faults: Vec::new(),
        count: 0,
    };
    let header = match records.next() {
        Some(Ok(header)) => header,
        Some(Err(_)) | None => {
            parsed.faults.push(Fault::new(1, "", "holds no header"));
            return parsed;
        }
    };
    let names = match header_names(&header, columns) {
        Ok(names) => names,
        Err(faults) => {
            parsed.faults = faults;
            return parsed;
        }
    };
    for record in records {
        parsed.count += 1;
        match record {
            Ok(record) => {
                let line = lines.of(&record);
                match cells(&record, &names) {
                    Ok(cells) => parsed.good.push(Record { line, cells }),
                    Err(detail) => parsed.faults.push(Fault::new(line, "", detail)),
                }
            }
            // Of bytes in memory there is none that leaves the reader going.
            Err(_) => {
                parsed
                    .faults
                    .push(Fault::new(lines.last, "", "is no CSV from here on"));
                break;
            }
        }
    }
    parsed
}

fn header_names(
    header: &ByteRecord,
    columns: &'static [Column],
) -> Result<Vec<&'static str>, Vec<Fault>> {
    if header.len() == 1 && header[0].iter().any(|byte| matches!(byte, b';' | b'\t')) {
        let detail = "has columns separated by something else than commas";
        return Err(vec![Fault::new(1, "", detail)]);
    }
    let mut names = Vec::new();
    let mut faults = Vec::new();
    for (place, cell) in header.iter().enumerate() {
        let cell = String::from_utf8_lossy(cell).trim().to_ascii_lowercase();
        match columns.iter().find(|column| column.name == cell) {
            None => faults.push(Fault::new(1, &shown(&cell, place), "is no known column")),
            Some(column) if names.contains(&column.name) => {
                faults.push(Fault::new(1, column.name, "stands in the header twice"));
            }
            Some(column) => names.push(column.name),
        }
    }
    for column in columns {
        if column.required && !names.contains(&column.name) {
            faults.push(Fault::new(1, column.name, "is missing in the header"));
        }
    }
    if faults.is_empty() {
        Ok(names)
    } else {
        Err(faults)
    }
}

/// Without a header the first line may hold anything, such as a name.
fn shown(cell: &str, place: usize) -> String {
    let fits = |b: u8| b.is_ascii_lowercase() || b == b'_';
    if (1..=32).contains(&cell.len()) && cell.bytes().all(fits) {
        cell.to_owned()
    } else {
        format!("column {}", place + 1)
    }
}

type Cells = Vec<(&'static str, Zeroizing<String>)>;

fn cells(record: &ByteRecord, names: &[&'static str]) -> Result<Cells, String> {
    if record.len() != names.len() {
        let cells = counted(record.len() as u64, "cell");
        return Err(format!("has {cells} in place of {}", names.len()));
    }
    names
        .iter()
        .zip(record)
        .map(|(name, cell)| match std::str::from_utf8(cell) {
            Ok(text) => Ok((*name, Zeroizing::new(text.to_owned()))),
            Err(_) => Err("is not UTF-8".to_owned()),
        })
        .collect()
}

/// Lines by offset; records come in order.
struct Lines<'t> {
    text: &'t [u8],
    looked_at: usize,
    last: u32,
}

impl<'t> Lines<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self {
            text,
            looked_at: 0,
            last: 1,
        }
    }

    /// The reader leaves the ends of lines before a record to that record.
    fn of(&mut self, record: &ByteRecord) -> u32 {
        let offset = record.position().map_or(0, |position| position.byte());
        let mut start = usize::try_from(offset).unwrap_or(usize::MAX);
        while matches!(self.text.get(start), Some(b'\r' | b'\n')) {
            start += 1;
        }
        let passed = self.text.get(self.looked_at..start).unwrap_or_default();
        let ends = passed.iter().filter(|byte| **byte == b'\n').count();
        self.last = self
            .last
            .saturating_add(u32::try_from(ends).unwrap_or(u32::MAX));
        self.looked_at = start.max(self.looked_at);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column {
            name: "name",
            required: true,
        },
        Column {
            name: "site",
            required: false,
        },
    ];

    fn told(text: &str) -> (Vec<(u32, String, String)>, Vec<Fault>) {
        let parsed = parse(text.as_bytes(), COLUMNS);
        let rows = parsed.good.iter().map(|record| {
            let text = |column| record.text(column).to_owned();
            (record.line, text("name"), text("site"))
        });
        (rows.collect(), parsed.faults)
    }

    #[test]
    fn what_is_too_long_is_refused_and_not_cut() {
        let whole = all_of(&b"12345"[..], 5).expect("read");
        assert_eq!(whole.as_slice(), b"12345");
        let refused = all_of(&b"123456"[..], 5).expect_err("too long");
        assert!(refused.to_string().contains("longer"), "{refused}");
    }

    #[test]
    fn columns_stand_in_any_order_and_lines_are_counted() {
        for text in [
            "\u{feff}site,name\r\ns1,\"North, left\"\r\n\r\ns2, South \r\n",
            "site,name\ns1,\"North, left\"\n\ns2, South \n",
        ] {
            let (rows, faults) = told(text);
            assert!(faults.is_empty(), "{faults:?}");
            assert_eq!(
                rows,
                [
                    (2, "North, left".to_owned(), "s1".to_owned()),
                    (4, "South".to_owned(), "s2".to_owned()),
                ],
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_cell_over_two_lines_moves_those_below() {
        let (rows, _) = told("name\n\"a\nb\"\nc\n");
        let lines: Vec<u32> = rows.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn wrong_headers_are_told_column_by_column() {
        let (rows, faults) = told("site,nmae,site\nx,y,z\n");
        assert!(rows.is_empty());
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["nmae", "site", "name"]);
        assert!(faults.iter().all(|fault| fault.line == 1));
        assert_eq!(told("").1.len(), 1);
        for spreadsheet in ["name;site\nNorth;s1\n", "name\tsite\n"] {
            let (_, faults) = told(spreadsheet);
            assert_eq!(faults.len(), 1);
            assert!(faults[0].detail.contains("commas"));
        }
    }

    #[test]
    fn short_and_unreadable_records_are_told_and_the_rest_is_read() {
        let mut text = b"name,site\nonly\ngood,s1\n".to_vec();
        text.extend_from_slice(b"\xff,s2\n");
        let parsed = parse(&text, COLUMNS);
        assert_eq!(parsed.count, 3);
        assert_eq!(parsed.good.len(), 1);
        let lines: Vec<u32> = parsed.faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 4]);
    }
}
