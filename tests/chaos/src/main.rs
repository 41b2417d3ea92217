//! `skald-chaos`: see the library.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;
use skald_chaos::{Options, points};
use skald_testkit::Etcd;

const USAGE: &str = "\
skald-chaos --skald-bin PATH [--etcd-bin PATH] [--seed N] [--minutes M] [--kills K]
skald-chaos --skald-bin PATH --crash-points SOURCES [--rounds R] [--jobs J] [--prefix NAME]
Starts a cluster on the loopback, writes and reads while it breaks processes for M minutes (default 5) or until K of them
were killed with SIGKILL, and checks that nothing was lost, doubled or mixed up. The etcd is that of --etcd-bin, of the
environment's ETCD_BINARY, or of the path.
With --crash-points a server that was built with debug assertions is ended at each step that the sources below SOURCES mark, R
times (default 3), J servers at once (default 2).";

enum Task {
    Cluster(Options, Option<PathBuf>),
    Points(points::Options),
}

fn args() -> Result<Task, lexopt::Error> {
    let minute = Duration::from_mins(1);
    let mut options = Options {
        skald: PathBuf::new(),
        seed: 1,
        time: minute * 5,
        kills: u64::MAX,
        longest: minute,
        calm: Duration::from_secs(30),
    };
    let mut etcd = None;
    let mut points = points::Options {
        skald: PathBuf::new(),
        sources: PathBuf::new(),
        rounds: 3,
        jobs: 2,
        prefix: String::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("skald-bin") => options.skald = parser.value()?.into(),
            Long("etcd-bin") => etcd = Some(parser.value()?.into()),
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("minutes") => options.time = minute.mul_f64(parser.value()?.parse()?),
            Long("kills") => options.kills = parser.value()?.parse()?,
            Long("crash-points") => points.sources = parser.value()?.into(),
            Long("rounds") => points.rounds = parser.value()?.parse()?,
            Long("jobs") => points.jobs = parser.value()?.parse()?,
            Long("prefix") => points.prefix = parser.value()?.string()?,
            _ => return Err(arg.unexpected()),
        }
    }
    if options.skald.as_os_str().is_empty() {
        return Err("--skald-bin is missing".into());
    }
    if !points.sources.as_os_str().is_empty() {
        points.skald = options.skald;
        return Ok(Task::Points(points));
    }
    Ok(Task::Cluster(options, etcd))
}

#[tokio::main]
async fn main() -> ExitCode {
    let (options, etcd) = match args() {
        Ok(Task::Cluster(options, etcd)) => (options, etcd),
        Ok(Task::Points(options)) => {
            let report = points::run(&options).await;
            println!("{report}");
            return code(report.violations());
        }
        Err(e) => {
            eprintln!("{e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let etcd = match etcd {
        Some(binary) => Some(Etcd::start_binary(binary).await),
        None => Etcd::start().await,
    };
    let Some(etcd) = etcd else { return ExitCode::from(2) };
    let report = skald_chaos::run(&options, etcd).await;
    println!("seed {}:\n{report}", options.seed);
    code(report.violations())
}

fn code(violations: usize) -> ExitCode {
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
