//! Certificates for operators of a running mesh.

use std::{fs, path::Path};

use devmesh::{
    Error,
    layout::{Addresses, Layout, ROLES},
};

use crate::run::RUN;

/// Issues the certificate and says where it lies.
#[expect(
    clippy::print_stdout,
    reason = "where the certificate lies is the answer"
)]
pub(crate) fn issue(folder: &Path, role: &str, name: &str) -> Result<(), Error> {
    if !ROLES.contains(&role) {
        return Err(Error::Unexpected(format!(
            "ROLE must be one of {}",
            ROLES.join(", ")
        )));
    }
    let root = folder.join(RUN);
    let root = fs::canonicalize(&root).map_err(|source| Error::File { path: root, source })?;
    let layout = Layout {
        root,
        addresses: Addresses::free(None)?,
    };
    let out = layout.root.join("issued").join(format!("{role}-{name}"));
    layout.issue_operator(role, name, &out)?;
    // The running mesh's endpoints, with this certificate.
    let config = fs::read_to_string(layout.config_file(&format!("propctl-{role}")))?;
    let old = layout.operator_folder(role);
    let config = config.replace(&old.display().to_string(), &out.display().to_string());
    let path = out.join("propctl.toml");
    fs::write(&path, config).map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    println!("{}", out.display());
    println!("use it: propctl --config {}", path.display());
    Ok(())
}
