//! Points at which a test lets a process die, as a power cut would.

use std::{
    ffi::{OsStr, OsString},
    sync::OnceLock,
};

/// Of `PROPDEV_FAULT_POINT`, which is no key of the configuration.
pub(crate) const VARIABLE_SUFFIX: &str = "FAULT_POINT";

const VARIABLE: &str = "PROPDEV_FAULT_POINT";

/// Aborts the process when `PROPDEV_FAULT_POINT` names this point; otherwise
/// does nothing.
pub fn point(name: &str) {
    static WANTED: OnceLock<Option<OsString>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| std::env::var_os(VARIABLE));
    if wanted.as_deref() == Some(OsStr::new(name)) {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Command, Stdio},
    };

    use super::*;

    const SIGABRT: i32 = 6;

    /// Runs this test alone in another process, with that variable.
    fn run_with(value: &str) -> std::process::ExitStatus {
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "fault::tests::only_the_point_named_aborts"])
            .env(VARIABLE, value)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("a run")
    }

    #[test]
    fn only_the_point_named_aborts() {
        if std::env::var_os(VARIABLE).is_some() {
            return point("test.here");
        }
        point("test.here");
        assert!(run_with("test.elsewhere").success());
        assert_eq!(run_with("test.here").signal(), Some(SIGABRT));
    }
}
