//! Writes `proto/src/generated/*.rs` from the `.proto` files: run `cargo run` in this folder after changing one.
//!
//! The output is checked in so that building Skald needs neither protoc nor the crates used here.
//! `proto/src/generated/SOURCES` lists each source with its FNV-1a hash; a test compares.

use std::fs;
use std::path::{Path, PathBuf};

const FILES: &[&str] = &[
    "skald/catalog/v1/catalog.proto",
    "skald/ingest/v1/ingest.proto",
    "skald/storage/v1/storage.proto",
    "public/etcd.proto",
    "public/loki.proto",
    "public/otlp.proto",
    "public/prometheus.proto",
    "public/prometheus_v2.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let out = root.join("src/generated");
    fs::create_dir_all(&out)?;
    let paths: Vec<PathBuf> = FILES.iter().map(|f| root.join(f)).collect();
    let descriptors = protox::compile(&paths, [&root])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    tonic_prost_build::configure()
        .out_dir(&out)
        .compile_fds_with_config(descriptors, config)?;
    let mut sources = String::new();
    for file in FILES {
        sources.push_str(&format!("{:016x} {file}\n", fnv1a(&root.join(file))?));
    }
    fs::write(out.join("SOURCES"), sources)?;
    Ok(())
}

fn fnv1a(path: &Path) -> std::io::Result<u64> {
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    Ok(fs::read(path)?.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
