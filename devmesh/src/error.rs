//! What can go wrong while a mesh is put up.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a mesh is running in {} already: stop it first, or use it", .0.display())]
    Running(std::path::PathBuf),
    #[error("{path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("certificates: {0}")]
    Certificates(String),
    #[error("{0} is not built; run make build")]
    NotBuilt(PathBuf),
    #[error("{name} ended early; its log ends with:\n{log}")]
    Ended { name: &'static str, log: String },
    #[error("{name} is not ready after {seconds} s; its log ends with:\n{log}")]
    NotReady {
        name: &'static str,
        seconds: u64,
        log: String,
    },
    #[error("{call}: {status}")]
    Rpc {
        call: &'static str,
        status: Box<tonic::Status>,
    },
    #[error("HTTP: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
