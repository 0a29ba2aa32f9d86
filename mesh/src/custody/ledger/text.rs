//! Lines as bytes.

/// Up to the end of the last line that has one.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => &bytes[..=end],
        None => &bytes[..0],
    }
}

/// The first line without its end, and what follows.
pub(super) fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => text.split_at(text.len()),
    }
}

/// All lines but the first.
pub(super) fn entries_in(bytes: &[u8]) -> u64 {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    lines.saturating_sub(1)
}
