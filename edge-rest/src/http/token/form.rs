//! `application/x-www-form-urlencoded`, strictly: a broken escape or broken
//! UTF-8 is a fault, where the usual parsers would guess.

pub(crate) struct Malformed;

/// Names and values in order.
pub(crate) fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    bytes
        .split(|&b| b == b'&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let at = part.iter().position(|&b| b == b'=');
            let (name, value) = match at {
                Some(at) => (&part[..at], &part[at + 1..]),
                None => (part, &b""[..]),
            };
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// One name or value: `+` is a space, `%XX` a byte.
pub(crate) fn decode(text: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = hex(rest.next())?;
                let low = hex(rest.next())?;
                high << 4 | low
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| Malformed)?;
    if text.contains('\0') {
        Err(Malformed)
    } else {
        Ok(text)
    }
}

fn hex(digit: Option<&u8>) -> Result<u8, Malformed> {
    digit
        .and_then(|&digit| char::from(digit).to_digit(16))
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(Malformed)
}
