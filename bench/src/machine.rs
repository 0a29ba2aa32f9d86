//! What a report says of where it was made.

use std::{fs, process::Command};

use mesh::{Clock, SystemClock};
use serde_json::{Value, json};

pub(crate) fn describe() -> Value {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |text| text.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "processor": model,
        "cores": cores,
        "commit": git(&["rev-parse", "HEAD"]),
        "changed_since": !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty(),
        "measured_at": SystemClock.now().to_string(),
    })
}

fn git(arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
