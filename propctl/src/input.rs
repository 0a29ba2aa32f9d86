//! Values that must not stand on a command line: read from a file or stdin,
//! where `-` asks for stdin.

use std::{
    fs,
    io::{self, BufRead, Read},
    path::Path,
};

use zeroize::Zeroizing;

use crate::error::Failure;

pub(crate) const STDIN: &str = "-";
/// No secret, name or plate is longer.
const LONGEST: u64 = 16 * 1024;
const LONGEST_TEXT: u64 = 1024 * 1024;

/// The argument itself, or the first line of stdin for `-`.
pub(crate) fn personal(argument: String, what: &str) -> Result<Zeroizing<String>, Failure> {
    let argument = Zeroizing::new(argument);
    if *argument != STDIN {
        return Ok(argument);
    }
    let line = line()?;
    if line.is_empty() {
        return Err(Failure::Usage(format!("stdin holds no {what}")));
    }
    Ok(line)
}

/// One line of stdin without its end.
pub(crate) fn line() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .take(LONGEST)
        .read_line(&mut line)
        .map_err(|error| Failure::Usage(format!("stdin: {error}")))?;
    Ok(Zeroizing::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// A whole text file, or all of stdin for `-`.
pub(crate) fn text(file: &Path) -> Result<String, Failure> {
    let fault = |error: io::Error| Failure::Usage(format!("{}: {error}", file.display()));
    if file == Path::new(STDIN) {
        let mut text = String::new();
        let mut stdin = io::stdin().lock().take(LONGEST_TEXT);
        stdin.read_to_string(&mut text).map_err(fault)?;
        return Ok(text);
    }
    let size = fs::metadata(file).map_err(fault)?.len();
    if size > LONGEST_TEXT {
        return Err(fault(io::Error::other("is longer than 1 MiB")));
    }
    fs::read_to_string(file).map_err(fault)
}

/// The whole file without the line end that editors add.
pub(crate) fn secret(file: &Path) -> Result<Zeroizing<String>, Failure> {
    if file == Path::new(STDIN) {
        return personal(STDIN.into(), "secret");
    }
    let fault = |detail: String| Failure::Usage(format!("{}: {detail}", file.display()));
    let size = fs::metadata(file)
        .map_err(|error| fault(error.to_string()))?
        .len();
    if size > LONGEST {
        return Err(fault("too long for a secret".into()));
    }
    let text = Zeroizing::new(fs::read_to_string(file).map_err(|error| fault(error.to_string()))?);
    let secret = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() {
        return Err(fault("no secret in it".into()));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_loses_its_line_end_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        fs::write(&path, " s3cret \n").expect("written");
        assert_eq!(*secret(&path).expect("a secret"), " s3cret ");
        fs::write(&path, "\n").expect("written");
        assert!(secret(&path).is_err());
        let missing = secret(&dir.path().join("absent")).expect_err("no file");
        assert!(missing.lines()[0].contains("absent"));
    }

    #[test]
    fn an_argument_is_taken_as_it_is() {
        assert_eq!(*personal("Anna".into(), "name").expect("a name"), "Anna");
    }
}
