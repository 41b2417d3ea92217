//! docs/metrics.md is what a server shows at /metrics once it has done everything once.
//!
//! After a change of metrics: `UPDATE_DOCS=1 cargo test -p skald-server --test e2e documents`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use skald_testkit::Client;
use skald_testkit::payload::{self, REMOTE_WRITE_V1, REMOTE_WRITE_V2};

use crate::{now_ms, skald};

/// Separates the page's introduction from the generated rows.
const HEAD: &str = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A metric family as `/metrics` shows it.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut found: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some(("TYPE", rest)) = line.strip_prefix("# ").and_then(|l| l.split_once(' ')) {
            let (name, kind) = rest.split_once(' ').unwrap();
            kind.clone_into(&mut found.entry(name.to_owned()).or_default().kind);
        } else if let Some(("HELP", rest)) = line.strip_prefix("# ").and_then(|l| l.split_once(' '))
        {
            let (name, help) = rest.split_once(' ').unwrap();
            let help = help.trim_end_matches('.').replace('|', "&#124;");
            found.entry(name.to_owned()).or_default().help = help;
        } else if !line.starts_with('#') {
            let series = line.rsplit_once(' ').unwrap().0;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let family = family_of(name, &found).unwrap_or_else(|| panic!("no TYPE for {line}"));
            let names = labels.split("=\"").filter_map(|l| l.rsplit([',', '"', '{']).next());
            let names = names.filter(|n| !n.is_empty() && *n != "}" && *n != "le");
            let names: Vec<_> = names.map(str::to_owned).collect();
            found.get_mut(&family).unwrap().labels.extend(names);
        }
    }
    found
}

/// The family of a series' name, which may have a suffix.
fn family_of(name: &str, known: &BTreeMap<String, Family>) -> Option<String> {
    let suffixes = ["", "_total", "_info", "_bucket", "_sum", "_count"];
    let mut families = suffixes.into_iter().filter_map(|s| name.strip_suffix(s));
    families.find(|family| known.contains_key(*family)).map(str::to_owned)
}

/// One row per family, under the name that is queried.
fn table(families: &BTreeMap<String, Family>) -> String {
    let row = |(name, family): (&String, &Family)| {
        let suffix = match family.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        let (kind, labels, help) = (&family.kind, labels.join(", "), &family.help);
        format!("| `{name}{suffix}` | {kind} | {labels} | {help} |\n")
    };
    families.iter().map(row).collect()
}

async fn push(client: &Client, at_ms: i64) {
    let sample = |name, value| payload::series(&[("__name__", name)], &[(at_ms, value)]);
    let nameless = payload::series(&[("job", "x")], &[(at_ms, 1.0)]);
    let v1 = payload::write_v1(vec![sample("a", 1.0), nameless]);
    assert_eq!(client.post("/api/v1/push", &REMOTE_WRITE_V1, v1).await.status, 400);
    // Refused by the ingester this time: another value for the same time.
    let again = payload::write_v1(vec![sample("a", 2.0)]);
    assert_eq!(client.post("/api/v1/push", &REMOTE_WRITE_V1, again).await.status, 400);
    let v2 = payload::write_v2(&[(&[("__name__", "b")], at_ms, 1.0)]);
    assert_eq!(client.post("/api/v1/write", &REMOTE_WRITE_V2, v2).await.status, 204);
    for (replica, status) in [("a", 204), ("b", 202)] {
        let labels = [("__name__", "c"), ("__replica__", replica), ("cluster", "x")];
        let of_pair = payload::write_v1(vec![payload::series(&labels, &[(at_ms, 1.0)])]);
        let reply = client.post("/api/v1/push", &REMOTE_WRITE_V1, of_pair).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    let ns = at_ms * 1_000_000;
    let json = payload::loki_json(&[(&[("app", "x")], &[(ns, "one")])]);
    assert_eq!(client.post("/loki/api/v1/push", &JSON, json).await.status, 204);
    let proto = payload::loki_proto(r#"{app="y"}"#, &[(ns, "two")]);
    assert_eq!(client.post("/loki/api/v1/push", &[], proto).await.status, 204);
}

async fn query(client: &Client, at_ms: i64) {
    let (start, end) = ((at_ms / 1000 - 60).to_string(), (at_ms / 1000 + 60).to_string());
    let range = |query| [("query", query), ("start", &*start), ("end", &*end), ("step", "15")];
    let (stream, count) = (r#"{app="x"}"#, r#"sum(count_over_time({app="x"}[1m]))"#);
    for (path, params) in [
        ("/api/v1/query", &range("a")[..1]),
        ("/api/v1/query_range", &range("a")),
        ("/api/v1/series", &[("match[]", "a")]),
        ("/api/v1/labels", &[]),
        ("/api/v1/metadata", &[]),
        ("/api/v1/query_exemplars", &range("a")[..3]),
        ("/loki/api/v1/query_range", &range(stream)),
        ("/loki/api/v1/query", &range(count)[..1]),
        ("/loki/api/v1/series", &[("match[]", stream)]),
        ("/loki/api/v1/labels", &[]),
        ("/loki/api/v1/index/stats", &range(stream)[..3]),
        ("/loki/api/v1/index/volume", &range(stream)[..3]),
    ] {
        let reply = client.get(path, params).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_is_what_a_server_shows() {
    let builder = skald();
    let overrides = builder.data_dir().with_file_name("overrides.yaml");
    std::fs::write(&overrides, "overrides: {}\n").unwrap();
    let builder = builder
        .set("overrides.file", &overrides.display().to_string())
        .set("limits.accept_ha_samples", "true")
        .set("cache.disk_size", "64MiB")
        .set("compactor.min_blocks_to_merge", "2");
    let server = builder.start().await;
    let at_ms = now_ms() - 10_000;
    for n in 0..2 {
        push(&server.client, at_ms + n * 1000).await;
        query(&server.client, at_ms).await;
        assert!(server.client.post("/flush", &[], "").await.status.is_success());
    }
    query(&server.client, at_ms).await;
    assert!(server.client.post("/compact", &[], "").await.status.is_success());
    let shown = server.client.get("/metrics", &[]).await.text();
    let table = table(&families(&shown));

    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (introduction, listed) = page.split_once(HEAD).expect("the page has the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{introduction}{HEAD}{table}")).unwrap();
        return;
    }
    let (shown, listed): (BTreeSet<_>, BTreeSet<_>) =
        (table.lines().collect(), listed.lines().collect());
    let missing: Vec<_> = shown.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&shown).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not listed: {missing:#?}\nnot shown: {gone:#?}"
    );
}

#[test]
fn families_are_read_with_type_help_and_labels() {
    let text = "# HELP a_b Things, \"seen\".\n# TYPE a_b counter\na_b_total{x=\"1\",y=\"p=q\"} 5\n\
                # TYPE c_seconds histogram\nc_seconds_bucket{le=\"1\",op=\"get\"} 2\n# EOF\n";
    let expected = "| `a_b_total` | counter | `x`, `y` | Things, \"seen\" |\n\
                    | `c_seconds` | histogram | `op` |  |\n";
    assert_eq!(table(&families(text)), expected);
}
