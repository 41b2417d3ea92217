//! Crates depend only downwards, and heavy third-party crates have one place each.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// The layer table of ARCHITECTURE.md: a crate may depend on lower layers only.
const LAYERS: &[(u32, &[&str])] = &[
    (0, &["skald-model", "skald-runtime"]),
    (1, &["skald-codec", "skald-vector", "skald-limits", "skald-wal", "skald-ring", "skald-proto"]),
    (
        2,
        &[
            "skald-promql",
            "skald-logql",
            "skald-store",
            "skald-rpc",
            "skald-coord",
            "skald-catalog",
            "skald-blocks",
        ],
    ),
    (3, &["skald-distributor", "skald-ingester", "skald-querier", "skald-compactor"]),
    (4, &["skald-server"]),
    (
        5,
        &[
            "skald-testkit",
            "skald-chaos",
            "skald-logdiff",
            "skald-promdiff",
            "skald-s3-tests",
            "skald-sim",
            "skald-tidy",
        ],
    ),
];

/// Third-party crates that only the named crates may use.
const HEAVY: &[(&str, &[&str])] = &[
    ("parquet", &["skald-blocks"]),
    ("arrow-array", &["skald-blocks"]),
    ("promql-parser", &["skald-promql"]),
    ("serde-saphyr", &["skald-limits", "skald-server"]),
];

/// Crates that must not be in the tree: large C builds, or frameworks we do not need.
const BANNED: &[&str] = &["aws-lc-sys", "openssl-sys", "datafusion", "rocksdb", "librdkafka-sys"];

struct Package {
    name: String,
    /// Without dev-dependencies.
    deps: Vec<String>,
}

fn metadata() -> (Vec<Package>, Vec<String>) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let out = Command::new(cargo)
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--manifest-path",
            manifest,
        ])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let value: Value = serde_json::from_slice(&out.stdout).unwrap();
    let members: Vec<&str> =
        value["workspace_members"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let mut ours = Vec::new();
    let mut all = Vec::new();
    for p in value["packages"].as_array().unwrap() {
        all.push(text(&p["name"]));
        if members.contains(&p["id"].as_str().unwrap()) {
            let deps = p["dependencies"].as_array().unwrap().iter();
            let deps = deps.filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect();
            ours.push(Package { name: text(&p["name"]), deps });
        }
    }
    (ours, all)
}

#[test]
fn dependencies_point_downwards() {
    let layer_of: BTreeMap<&str, u32> =
        LAYERS.iter().flat_map(|(n, names)| names.iter().map(move |name| (*name, *n))).collect();
    for package in metadata().0 {
        let own = *layer_of
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("{} has no layer; add it to the table", package.name));
        for dep in package.deps.iter().filter(|d| d.starts_with("skald-")) {
            let other = layer_of[dep.as_str()];
            assert!(
                other < own || own == 5,
                "{} (layer {own}) uses {dep} (layer {other})",
                package.name
            );
        }
    }
}

#[test]
fn heavy_crates_have_one_place() {
    for package in metadata().0 {
        for (heavy, places) in HEAVY {
            let used = package.deps.iter().any(|d| d == heavy);
            assert!(
                !used || places.contains(&package.name.as_str()),
                "{} uses {heavy}",
                package.name
            );
        }
    }
}

#[test]
fn banned_crates_are_absent() {
    let all = metadata().1;
    for banned in BANNED {
        assert!(!all.iter().any(|name| name == banned), "{banned} is in the tree");
    }
}
