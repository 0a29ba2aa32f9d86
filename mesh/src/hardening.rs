//! What keeps memory from leaving the process by way of a core dump or a debugger.

use nix::sys::{prctl, resource};

/// No core dumps, no `ptrace` by peers of the same user.
pub fn no_dumps() -> Result<(), nix::Error> {
    resource::setrlimit(resource::Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}
