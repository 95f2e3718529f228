//! CPU time and memory of a process, from Linux's `/proc`. On other systems every call is an error.

use std::fs;
use std::io;

/// The CPU time that all threads of a process have used so far, in nanoseconds.
///
/// # Errors
/// The process has ended, or the system has no `/proc`.
pub fn cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        let nanos = stat.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
        sum += nanos.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(sum)
}

/// The resident memory of a process, in bytes.
///
/// # Errors
/// The process has ended, or the system has no `/proc`.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The highest resident memory of a process so far, in bytes.
///
/// # Errors
/// The process has ended, or the system has no `/proc`.
#[allow(dead_code, reason = "not every program needs it")]
pub fn peak_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, field: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.ok_or(io::ErrorKind::InvalidData)? * 1024)
}
