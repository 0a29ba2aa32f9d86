use std::io::{BufRead, Read};

use super::{ExportError, Line};

/// No line of ours is longer.
const LONGEST: u64 = 1024 * 1024;

/// A file's lines, counted.
pub(super) struct Lines<R> {
    file: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, number: 0 }
    }

    pub(super) fn text(&mut self) -> Result<Option<String>, ExportError> {
        let mut line = String::new();
        self.number += 1;
        if self.file.by_ref().take(LONGEST).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        // One without its end was cut off.
        if !line.ends_with('\n') {
            return Err(self.broken());
        }
        Ok(Some(line))
    }

    pub(super) fn next(&mut self) -> Result<Option<Line>, ExportError> {
        match self.text()? {
            None => Ok(None),
            Some(line) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|_| self.broken()),
        }
    }

    pub(super) fn broken(&self) -> ExportError {
        ExportError::Line(self.number)
    }
}

/// Lines in the order of their numbers; one that stands elsewhere is set aside.
pub(super) struct Ordered<R> {
    lines: Lines<R>,
    ahead: Option<Line>,
    /// The least number that may come next.
    least: u64,
    misplaced: Vec<u64>,
}

impl<R: BufRead> Ordered<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        Self {
            lines,
            ahead: None,
            least: 0,
            misplaced: vec![],
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Line>, ExportError> {
        loop {
            let line = match self.ahead.take() {
                Some(line) => Some(line),
                None => self.lines.next()?,
            };
            let Some(line) = line else { return Ok(None) };
            self.ahead = self.lines.next()?;
            // Too late for its number, or too early: the next is before it.
            let next = self.ahead.as_ref().map(|next| next.number);
            let early = next.is_some_and(|next| (self.least..line.number).contains(&next));
            if line.number < self.least || early {
                self.misplaced.push(line.number);
                continue;
            }
            self.least = line.number.saturating_add(1);
            return Ok(Some(line));
        }
    }

    pub(super) fn misplaced(&self) -> &[u64] {
        &self.misplaced
    }

    pub(super) fn broken(&self) -> ExportError {
        self.lines.broken()
    }
}
