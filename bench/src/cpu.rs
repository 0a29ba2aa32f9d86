//! What processes have used, from proc(5).

use std::{fs, time::Duration};

/// User and system time of the processes so far.
pub(crate) fn used(processes: &[u32]) -> Duration {
    let ticks: u64 = processes.iter().copied().filter_map(ticks).sum();
    // Linux tells user space a hundred ticks a second on every architecture.
    Duration::from_millis(ticks * 10)
}

fn ticks(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces too.
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// Resident memory, bytes.
pub(crate) fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
