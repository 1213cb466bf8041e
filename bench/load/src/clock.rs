//! The one clock of a run: nanoseconds since the process began, and the processor time it used.

use std::sync::OnceLock;
use std::time::Instant;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds of monotonic time since the first call, at least 1.
pub fn now_ns() -> u64 {
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// Seconds as given on the command line, in nanoseconds.
pub fn ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Processor seconds this (one-thread) process ran, from `/proc/self/schedstat`; 0 where that is missing.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let on_cpu: u64 = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    on_cpu as f64 / 1e9
}
