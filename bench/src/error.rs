//! Why a benchmark did not come to its end.

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Mesh(#[from] devmesh::Error),
    #[error(transparent)]
    Postgres(#[from] private_postgres::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Call(#[from] Box<tonic::Status>),
    #[error("{0}")]
    Other(String),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// Any error in its own words.
pub(crate) fn other(error: impl std::fmt::Display) -> Error {
    Error::Other(error.to_string())
}
