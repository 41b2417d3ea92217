//! `logdiff`: see the library.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lexopt::prelude::*;
use skald_logdiff::dataset;
use skald_logdiff::expr::query;
use skald_logdiff::run::Pair;
use skald_testkit::peer::free_address;
use skald_testkit::{Client, Peer, ServerBuilder};

const USAGE: &str = "\
logdiff --loki-run SCRIPT --skald-bin PATH [--seed N] [--first N] [--count N] [--start SECONDS] [--print]
Starts both on loopback, loads the same lines, and asks both random queries.
SCRIPT starts a Loki in the foreground on 127.0.0.1:$PORT and $GRPC_PORT with its data in $DATA.
Instead, --loki URL and --skald URL name servers that have the lines already; with --load they get them.
SECONDS is when the lines begin. Loki asks its ingester for the last three hours only, whatever it is told, so that
it wants a time within these.
--print only prints the queries.";

#[derive(Debug, Default)]
struct Args {
    loki_run: Option<PathBuf>,
    skald_bin: Option<PathBuf>,
    loki: Option<String>,
    skald: Option<String>,
    seed: u64,
    first: u64,
    count: u64,
    start: i64,
    load: bool,
    print: bool,
}

fn args() -> Result<Args, lexopt::Error> {
    let mut out = Args { seed: 1, count: 1000, start: 1_700_006_400, ..Args::default() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("loki-run") => out.loki_run = Some(parser.value()?.into()),
            Long("skald-bin") => out.skald_bin = Some(parser.value()?.into()),
            Long("loki") => out.loki = Some(parser.value()?.string()?),
            Long("skald") => out.skald = Some(parser.value()?.string()?),
            Long("seed") => out.seed = parser.value()?.parse()?,
            Long("first") => out.first = parser.value()?.parse()?,
            Long("count") => out.count = parser.value()?.parse()?,
            Long("start") => out.start = parser.value()?.parse()?,
            Long("load") => out.load = true,
            Long("print") => out.print = true,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(out)
}

async fn start_loki(script: &Path, data: &Path) -> std::io::Result<Peer> {
    let (http, grpc) = (free_address()?, free_address()?);
    let mut command = Command::new(script);
    command
        .env("PORT", http.port().to_string())
        .env("GRPC_PORT", grpc.port().to_string())
        .env("DATA", data)
        .env("LOKI_SHARD", "false")
        .env("LOKI_SPLIT", "0");
    Peer::start(&mut command, http, "/ready").await
}

async fn run(args: Args) -> Result<bool, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (mut theirs, mut ours) = (None, None);
    if let Some(script) = &args.loki_run {
        theirs = Some(start_loki(script, dir.path()).await.map_err(|e| e.to_string())?);
    }
    if let Some(binary) = &args.skald_bin {
        let binary = binary.to_str().ok_or("the path of skald is not UTF-8")?;
        let server = ServerBuilder::new(binary)
            .set("limits.reject_old_samples", "false")
            .set("limits.max_query_series", "100000");
        ours = Some(server.start().await);
    }
    let loki = theirs.as_ref().map(|p| p.client.clone());
    let loki = loki.or_else(|| args.loki.map(Client::new)).ok_or(USAGE)?;
    let skald = ours.as_ref().map(|s| s.client.clone());
    let skald = skald.or_else(|| args.skald.map(Client::new)).ok_or(USAGE)?;
    if args.load || theirs.is_some() {
        dataset::load(&loki, args.start).await?;
    }
    if args.load || ours.is_some() {
        dataset::load(&skald, args.start).await?;
    }
    let report = Pair { loki, skald, start_s: args.start }
        .run(args.seed, args.first, args.count, |d| println!("{d}"))
        .await;
    println!(
        "{} queries as {:?}: {} answered with errors, {} with nothing; explained: \
         {} not repeatable, {:?}; differences: {:?}",
        report.queries,
        report.asked,
        report.errors,
        report.empty,
        report.unrepeatable,
        report.explained,
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
        (args.first..args.first + args.count).for_each(|n| println!("{}", query(args.seed, n).1));
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
