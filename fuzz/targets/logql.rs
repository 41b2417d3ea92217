//! What each run of the fuzzer does with its bytes. Also compiled into the tests of `skald-logql`,
//! which call it with damaged queries.

use bytes::Bytes;
use skald_logql::{Expr, Pipeline, Selection, Work};
use skald_model::{Labels, LogEntry, StreamEntries};

/// What a query's stages are run on when the bytes bring no lines.
const LINES: [&[u8]; 4] = [
    br#"{"level":"error","status":500,"took":"1.5s","user":{"name":"o'neil","ids":[1,2]},"size":"5KB"}"#,
    br#"level=warn method=GET path="/a b" took=12ms size=3MiB ip=10.1.2.3 bad"#,
    b"10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] \"GET /x HTTP/1.1\" 200 2326 \x1b[31mred\x1b[0m",
    b"\xff\xfe not utf-8",
];

/// Parses, prints and parses again; what stands behind a zero byte are lines for the stages.
pub(crate) fn run(data: &[u8]) {
    let mut parts = data.split(|b| *b == 0);
    let query = parts.next().unwrap_or_default();
    let Ok(query) = std::str::from_utf8(query) else { return };
    let _ = skald_logql::parse_selector(query);
    let _ = Selection::parse(query);
    let Ok(expr) = skald_logql::parse(query) else { return };
    let printed = expr.to_string();
    match skald_logql::parse(&printed) {
        Ok(again) => assert_eq!(again.to_string(), printed, "of {query}"),
        // Printing adds parentheses and quotes, so that what was just within a limit may not be.
        Err(e) => assert!(query.len() > 1_000, "{query}\nis printed as\n{printed}\n{e}"),
    }
    let Expr::Log(log) = expr else { return };
    let Ok(pipeline) = Pipeline::compile(&log) else { return };
    let given = parts.map(Bytes::copy_from_slice);
    let lines = given.chain(LINES.into_iter().map(Bytes::from_static)).take(16);
    let entry = |line| LogEntry { timestamp_ns: 1, metadata: Labels::default(), line };
    let stream = StreamEntries {
        labels: Labels::from_pairs([("app", "a"), ("level", "info")]),
        entries: lines.map(entry).collect(),
    };
    pipeline.run(&mut Work::default(), &stream);
}
