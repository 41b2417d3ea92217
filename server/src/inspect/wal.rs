//! `skald wal inspect`: segments and what they hold.

use std::fmt::Write;
use std::path::Path;

use skald_wal::StdFs;
use skald_wal::inspect::{EndReport, Report};

use super::InspectError;

pub(super) fn inspect(path: &Path) -> Result<(), InspectError> {
    let report = skald_wal::inspect::inspect(&StdFs, path)?;
    crate::print(&text(&report));
    if report.is_sound() { Ok(()) } else { Err(InspectError::Damaged("the log is".to_owned())) }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:>20} {:>20} {:>10} {:>14} {:>14}  end",
        "first", "last", "records", "good bytes", "bytes"
    );
    for s in &report.segments {
        let last = s.last_seq.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
        let end = match &s.end {
            EndReport::Clean => "clean",
            EndReport::Unfinished => "unfinished write",
            EndReport::Damaged(reason) => reason,
        };
        let header = if s.header_ok { "" } else { ", no header" };
        let _ = writeln!(
            out,
            "{:>20} {last:>20} {:>10} {:>14} {:>14}  {end}{header}",
            s.first_seq, s.records, s.good_bytes, s.size
        );
    }
    let _ = writeln!(out, "\n{:>10} {:>14}  kind  tenant", "records", "bytes");
    for ((tenant, kind), volume) in &report.volumes {
        let _ = writeln!(out, "{:>10} {:>14}  {kind:>4}  {tenant}", volume.records, volume.bytes);
    }
    out
}
