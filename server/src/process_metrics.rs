//! The `process_*` metrics every Prometheus dashboard expects, read from `/proc` at scrape time, and `skald_build_info`.

use std::fmt::Write;

/// Clock ticks per second in `/proc`: fixed at 100 on every Linux we run on.
const TICKS: f64 = 100.0;

/// Appends the metrics in OpenMetrics text. What cannot be read is left out.
pub(crate) fn append(out: &mut String) {
    let version = env!("CARGO_PKG_VERSION");
    let mut gauge = |name: &str, kind: &str, suffix: &str, labels: &str, value: f64| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# TYPE {name} {kind}\n{name}{suffix}{labels} {value}");
    };
    gauge("skald_build", "info", "_info", &format!("{{version=\"{version}\"}}"), 1.0);
    if let Some(s) = stat() {
        gauge("process_cpu_seconds", "counter", "_total", "", s.cpu_seconds);
        gauge("process_threads", "gauge", "", "", s.threads);
        gauge("process_virtual_memory_bytes", "gauge", "", "", s.virtual_bytes);
        if let Some(boot) = boot_time() {
            gauge("process_start_time_seconds", "gauge", "", "", boot + s.started_seconds);
        }
    }
    if let Some(bytes) = resident_bytes() {
        gauge("process_resident_memory_bytes", "gauge", "", "", bytes);
    }
    if let Ok(dir) = std::fs::read_dir("/proc/self/fd") {
        let n = u32::try_from(dir.count()).unwrap_or(u32::MAX);
        gauge("process_open_fds", "gauge", "", "", f64::from(n));
    }
}

struct Stat {
    cpu_seconds: f64,
    threads: f64,
    virtual_bytes: f64,
    started_seconds: f64,
}

fn stat() -> Option<Stat> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name, in parentheses, may hold spaces; the numbers begin behind it with field 3.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) / TICKS,
        threads: field(20)?,
        started_seconds: field(22)? / TICKS,
        virtual_bytes: field(23)?,
    })
}

fn boot_time() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident_bytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_this_process() {
        let mut text = String::new();
        super::append(&mut text);
        for name in
            ["skald_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes"]
        {
            assert!(text.contains(name), "{name} in {text}");
        }
    }
}
