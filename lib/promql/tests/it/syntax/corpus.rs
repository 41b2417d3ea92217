//! Queries that people wrote: our tests, and the conformance corpora where they are there.

use std::path::Path;

const ANSWERS: &str = include_str!("../../../testdata/syntax/answers.txt");

/// All of them, each once, in a fixed order.
pub(super) fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out: Vec<String> = ANSWERS
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(query, _)| query.replace("\\n", "\n"))
        .collect();
    tests(&root.join("testdata"), &mut out);
    let shared = root.join("../../../shared/conformance");
    if shared.exists() {
        tests(&shared.join("promqltest"), &mut out);
        recorded(&shared.join("promql"), &mut out);
    } else {
        println!("no conformance corpora at {}", shared.display());
    }
    out.sort();
    out.dedup();
    out
}

fn texts(dir: &Path, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let fits = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == ending);
    entries.filter(fits).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// What stands behind `eval …` in files of the language tests.
fn tests(dir: &Path, out: &mut Vec<String>) {
    for text in texts(dir, "test") {
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("eval")) {
            // `instant at 5m QUERY`, `range from 0 to 5m step 1m QUERY`, perhaps `_fail` first.
            let mut words = line.split_whitespace();
            let skipped = match words.find(|w| matches!(*w, "instant" | "range")) {
                Some("instant") => 2,
                Some(_) => 6,
                None => continue,
            };
            out.push(words.skip(skipped).collect::<Vec<_>>().join(" "));
        }
    }
}

fn recorded(dir: &Path, out: &mut Vec<String>) {
    for text in texts(dir, "json") {
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let cases = file["cases"].as_array().into_iter().flatten();
        out.extend(cases.filter_map(|c| c["params"]["query"].as_str()).map(str::to_owned));
    }
}
