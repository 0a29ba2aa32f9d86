//! What a process asks of the kernel for itself: no core dump, debugger or
//! swap, and as many connections as it is let have.

use nix::sys::{
    mman::{MlockAllFlags, mlockall},
    prctl, resource,
    stat::{Mode, umask},
};

/// No core dumps, no `ptrace` by peers of the same user. Built with the feature
/// `dumpable_for_test_only` it lets a test look into the memory.
pub fn no_dumps() -> Result<(), nix::Error> {
    if cfg!(feature = "dumpable_for_test_only") {
        return Ok(());
    }
    resource::setrlimit(resource::Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}

/// Files that the process makes are its own: others neither read nor write
/// them.
pub fn private_files() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// `CAP_IPC_LOCK`, of capabilities(7).
const MAY_LOCK: u64 = 1 << 14;
/// Of mlock(2): pages are locked when they are used, none for nothing.
const ON_FAULT: MlockAllFlags = MlockAllFlags::from_bits_retain(4);

/// Keeps memory, and the keys in it, out of the swap where the process may
/// lock as much as it likes; with a limit, later allocations would fail. False
/// where it may not.
pub fn lock_memory() -> Result<bool, nix::Error> {
    let (limit, _) = resource::getrlimit(resource::Resource::RLIMIT_MEMLOCK)?;
    if limit != resource::RLIM_INFINITY && !may_lock() {
        return Ok(false);
    }
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | ON_FAULT)?;
    Ok(true)
}

fn may_lock() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|capabilities| capabilities & MAY_LOCK != 0)
}

/// As many descriptors as the hard limit allows: the soft one that shells and
/// service managers set is a few connections' worth.
pub fn all_descriptors() -> Result<(), nix::Error> {
    let (_, most) = resource::getrlimit(resource::Resource::RLIMIT_NOFILE)?;
    resource::setrlimit(resource::Resource::RLIMIT_NOFILE, most, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locking_is_asked_for_only_where_it_has_no_limit() {
        let (limit, _) =
            resource::getrlimit(resource::Resource::RLIMIT_MEMLOCK).expect("the limit");
        let may = limit == resource::RLIM_INFINITY || may_lock();
        assert_eq!(lock_memory().unwrap_or(may), may);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        all_descriptors().expect("granted");
        let (now, most) =
            resource::getrlimit(resource::Resource::RLIMIT_NOFILE).expect("the limit");
        assert_eq!(now, most);
    }
}
