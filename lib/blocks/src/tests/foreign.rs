//! Other people's readers: a block is an ordinary Parquet file.
//!
//! Needs `python3` with `pyarrow`, and looks with `duckdb` too when that is there; where they are
//! absent the test says so and checks nothing.

#![expect(clippy::print_stderr, reason = "says why it did not check anything")]

use std::process::{Command, Output};

use super::*;

const SCRIPT: &str = r#"
import sys
import pyarrow.parquet as pq
metrics, logs = sys.argv[1:]
m = pq.read_table(metrics, columns=['l___name__', 'l_pod', 'n_samples']).to_pylist()
assert [(r['l___name__'], r['l_pod'], r['n_samples']) for r in m] == [('a', 'p1', 2), ('b', None, 1)], m
l = pq.read_table(logs, columns=['l_app', 'line', 'm_k']).to_pylist()
assert [(r['l_app'], r['line'], r['m_k']) for r in l] == [('x', 'eins', 'v'), ('x', 'zwei ü', None), ('y', 'drei', None)], l
assert pq.read_table(metrics).num_rows == 2 and pq.read_table(logs).num_rows == 3
assert pq.read_schema(logs).metadata[b'skald.version'] == b'1'
print('pyarrow')
try:
    import duckdb
except ImportError:
    sys.exit()
q = duckdb.sql(f"select l_app, line, epoch_ns(timestamp) from '{logs}' where m_k is null order by 3").fetchall()
assert q == [('y', 'drei', 3), ('x', 'zwei ü', 20)], q
q = duckdb.sql(f"select l___name__, n_samples from '{metrics}' where l_pod = 'p1'").fetchall()
assert q == [('a', 2)], q
print('duckdb')
"#;

fn python(args: &[&str]) -> std::io::Result<Output> {
    Command::new("python3").arg("-c").args(args).output()
}

#[test]
fn pyarrow_and_duckdb_read_labels_and_lines() {
    if !python(&["import pyarrow"]).is_ok_and(|o| o.status.success()) {
        eprintln!("not checked: python3 with pyarrow is absent");
        return;
    }
    let metrics = metric_block(vec![
        floats(labels(&[("__name__", "a"), ("pod", "p1")]), &[(1, 1.0), (2, 2.0)]),
        floats(labels(&[("__name__", "b")]), &[(1, 1.0)]),
    ]);
    let x = vec![entry(10, "eins", &[("k", "v")]), entry(20, "zwei ü", &[])];
    let y = vec![entry(3, "drei", &[])];
    let streams = vec![(labels(&[("app", "x")]), x), (labels(&[("app", "y")]), y)];
    let logs = log_block(streams, WriterOptions { lines: crate::LineForm::Plain, ..options() });
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, block: &Encoded| {
        let file = dir.path().join(name);
        std::fs::write(&file, &block.bytes).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let files = [file("metrics.parquet", &metrics), file("logs.parquet", &logs)];
    let out = python(&[SCRIPT, &files[0], &files[1]]).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    eprintln!("read by: {}", String::from_utf8_lossy(&out.stdout).replace('\n', " "));
}
