//! What a process asks of the kernel for itself: no core dump or debugger, and
//! as many connections as it is let have.

use nix::sys::{prctl, resource};

/// No core dumps, no `ptrace` by peers of the same user.
pub fn no_dumps() -> Result<(), nix::Error> {
    resource::setrlimit(resource::Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
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
    fn the_soft_limit_becomes_the_hard_one() {
        all_descriptors().expect("granted");
        let (now, most) =
            resource::getrlimit(resource::Resource::RLIMIT_NOFILE).expect("the limit");
        assert_eq!(now, most);
    }
}
