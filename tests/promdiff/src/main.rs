//! `promdiff`: see the library.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use lexopt::prelude::*;
use skald_promdiff::dataset;
use skald_promdiff::expr::expression;
use skald_promdiff::run::Pair;
use skald_testkit::peer::free_address;
use skald_testkit::{Client, Peer, ServerBuilder};

const USAGE: &str = "\
promdiff --prometheus-bin PATH --skald-bin PATH [--seed N] [--first N] [--count N] [--print]
Starts both on loopback, loads the same data, and asks both for random expressions.
Instead of binaries, --prometheus URL and --skald URL name servers that have the data already.
--print only prints the expressions.";

const FEATURES: &str = "promql-experimental-functions,promql-extended-range-selectors,\
                        promql-binop-fill-modifiers,use-start-timestamps";

#[derive(Debug, Default)]
struct Args {
    prometheus_bin: Option<PathBuf>,
    skald_bin: Option<PathBuf>,
    prometheus: Option<String>,
    skald: Option<String>,
    seed: u64,
    first: u64,
    count: u64,
    print: bool,
}

fn args() -> Result<Args, lexopt::Error> {
    let mut out = Args { seed: 1, count: 1000, ..Args::default() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("prometheus-bin") => out.prometheus_bin = Some(parser.value()?.into()),
            Long("skald-bin") => out.skald_bin = Some(parser.value()?.into()),
            Long("prometheus") => out.prometheus = Some(parser.value()?.string()?),
            Long("skald") => out.skald = Some(parser.value()?.string()?),
            Long("seed") => out.seed = parser.value()?.parse()?,
            Long("first") => out.first = parser.value()?.parse()?,
            Long("count") => out.count = parser.value()?.parse()?,
            Long("print") => out.print = true,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(out)
}

/// A Prometheus in a directory of its own.
struct Prometheus {
    peer: Peer,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    async fn start(binary: &PathBuf) -> std::io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n")?;
        let address = free_address()?;
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-remote-write-receiver")
            .arg(format!("--enable-feature={FEATURES}"));
        let peer = Peer::start(&mut command, address, "/-/ready").await?;
        Ok(Self { peer, _dir: dir })
    }
}

async fn run(args: Args) -> Result<bool, String> {
    let (mut theirs, mut ours) = (None, None);
    if let Some(binary) = &args.prometheus_bin {
        let started = Prometheus::start(binary).await.map_err(|e| e.to_string())?;
        dataset::load(&started.peer.client, "/api/v1/write").await?;
        theirs = Some(started);
    }
    if let Some(binary) = &args.skald_bin {
        let binary = binary.to_str().ok_or("the path of skald is not UTF-8")?;
        let server = ServerBuilder::new(binary).set("limits.reject_old_samples", "false");
        let server = server.start().await;
        dataset::load(&server.client, "/api/v1/push").await?;
        ours = Some(server);
    }
    let prometheus = theirs.as_ref().map(|p| p.peer.client.clone());
    let prometheus = prometheus.or_else(|| args.prometheus.map(Client::new)).ok_or(USAGE)?;
    let skald = ours.as_ref().map(|s| s.client.clone());
    let skald = skald.or_else(|| args.skald.map(Client::new)).ok_or(USAGE)?;
    let report = Pair { prometheus, skald }
        .run(args.seed, args.first, args.count, |d| println!("{d}"))
        .await;
    println!(
        "{} queries of {} expressions: {} answered with errors, {} with nothing; explained: {} ties, \
         {} not repeatable; differences: {:?}",
        report.asked,
        args.count,
        report.errors,
        report.empty,
        report.ties,
        report.unrepeatable,
        report.differences
    );
    Ok(report.differences.is_empty())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(e) => {
            eprintln!("{e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if args.print {
        (args.first..args.first + args.count)
            .for_each(|n| println!("{}", expression(args.seed, n)));
        return ExitCode::SUCCESS;
    }
    match run(args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}
