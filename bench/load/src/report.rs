//! Latency histogram and the one JSON line a run prints.

use std::fmt::Write;

const SUB_BITS: u32 = 7;
const SUB: u64 = 1 << SUB_BITS;

/// Log-linear histogram of nanoseconds: 128 steps per power of two, so under 0.8 % error.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self {
            counts: vec![0; (SUB * u64::from(66 - SUB_BITS)) as usize],
            total: 0,
            max_ns: 0,
        }
    }

    pub fn add(&mut self, ns: u64) {
        self.counts[Self::index(ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    fn index(ns: u64) -> usize {
        if ns < SUB {
            return ns as usize;
        }
        let shift = ns.ilog2() - SUB_BITS;
        ((u64::from(shift) + 1) * SUB + ((ns >> shift) - SUB)) as usize
    }

    fn upper(index: usize) -> u64 {
        let index = index as u64;
        if index < SUB {
            return index;
        }
        let shift = index / SUB - 1;
        ((SUB + index % SUB + 1) << shift) - 1
    }

    /// Microseconds below which `share` of the values lie; 0 when empty.
    pub fn quantile_us(&self, share: f64) -> f64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Self::upper(index).min(self.max_ns) as f64 / 1e3;
            }
        }
        0.0
    }
}

/// A JSON object under construction.
pub struct Line(String);

impl Line {
    pub fn new(command: &str) -> Self {
        let mut line = Self("{".to_owned());
        line.text("command", command);
        line
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push('"');
        for c in value.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    pub fn count(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    pub fn real(&mut self, name: &str, value: f64) {
        self.name(name);
        let _ = write!(self.0, "{value:.3}");
    }

    pub fn truth(&mut self, name: &str, value: bool) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    pub fn latency(&mut self, histogram: &Histogram) {
        for (name, share) in [
            ("p50_us", 0.5),
            ("p90_us", 0.9),
            ("p99_us", 0.99),
            ("p999_us", 0.999),
        ] {
            self.real(name, histogram.quantile_us(share));
        }
        self.real("max_us", histogram.max_ns as f64 / 1e3);
    }

    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut histogram = Histogram::new();
        for value in 1..=100_000_u64 {
            histogram.add(value * 10);
        }
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = histogram.quantile_us(share);
            assert!((found - expected).abs() / expected < 0.01, "{share}: {found}");
        }
    }

    #[test]
    fn every_value_lies_at_or_below_the_upper_end_of_its_step() {
        for value in (0..64)
            .map(|shift| 1_u64 << shift)
            .chain(0..5000)
            .chain([u64::MAX])
        {
            let upper = u128::from(value) * 1008 / 1000 + 1;
            let index = Histogram::index(value);
            if value < 1 << 62 {
                let end = Histogram::upper(index);
                assert!(end >= value && u128::from(end) <= upper, "{value} {end}");
            }
        }
    }
}
