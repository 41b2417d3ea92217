//! The command line. Flags are few and fixed, because tests and scripts lean on them; all else is configuration.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::drain_command::Drain;
use crate::export::{Export, Format, What};
use crate::inspect::Inspect;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Server(Options),
    StorageServe(Options),
    StorageCheck(Options),
    Inspect(Inspect, Options),
    Export(Export, Options),
    Drain(Drain),
    Print(String),
}

/// The flags of the server; `storage` subcommands take `--set` and `--config.file` too.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) expand_env: bool,
    pub(crate) check: bool,
    pub(crate) print: bool,
    /// `key=value`, in order, with what to call their origin.
    pub(crate) set: Vec<(String, String, &'static str)>,
}

/// A command line that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0} (try `skald --help`)")]
pub(crate) struct CliError(String);

const HELP: &str = "\
skald: metrics and logs for many tenants, in one binary

usage: skald [server] [flags]
       skald storage serve --backend URL [--listen ADDR]   serve any storage over gRPC
       skald storage check URL                             run the storage conformance suite
       skald catalog show [TENANT]                         list the blocks of a tenant, or of all
       skald catalog verify [TENANT]                       read all of them and say which are bad
       skald block show|verify TENANT ID                   a block's layout, or whether it can be read
       skald export metrics|logs TENANT [--start T] [--end T] [--match SELECTOR | --query QUERY]
                    [--format parquet|ndjson] --out DIR|-  samples or lines in files for other tools (docs/export.md)
       skald drain --url URL [--partition N] [--undo]      move a partition's data to the store before it leaves
       skald wal inspect                                   segments and records below --data-dir
       skald version

  --config.file FILE     YAML configuration (docs/configuration.md)
  --config.expand-env    replace ${VAR} in the file by environment variables
  --config.check         check the configuration and exit
  --config.print         print the effective configuration and exit
  --target ROLES         all, or some of distributor,ingester,querier,compactor,storage
  --data-dir DIR         WAL and, by default, storage live here (default ./data)
  --http-listen ADDR     default 127.0.0.1:3100; port 0 picks a free one
  --grpc-listen ADDR     default 127.0.0.1:9095
  --storage URL          file:///dir, memory://, s3://bucket/prefix, grpc://host:port
  --set KEY=VALUE        set any configuration key, e.g. limits.ingestion_rate=50000
";

impl From<lexopt::Error> for CliError {
    fn from(e: lexopt::Error) -> Self {
        Self(e.to_string())
    }
}

/// Parses the arguments behind the program's name.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, CliError> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut options = Options::default();
    let mut words: Vec<String> = Vec::new();
    let mut set = |key: &str, value: String, origin| {
        options.set.push((key.to_owned(), value, origin));
    };
    let (mut check, mut print, mut expand) = (false, false, false);
    let mut drain = Drain { url: "http://127.0.0.1:3100".to_owned(), ..Drain::default() };
    let mut asked = Asked::default();
    let mut config_file = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("config.file") => config_file = Some(PathBuf::from(parser.value()?)),
            Long("config.expand-env") => expand = true,
            Long("config.check") => check = true,
            Long("config.print") => print = true,
            Long("target") => set("target", parser.value()?.string()?, "--target"),
            Long("data-dir") => set("data_dir", parser.value()?.string()?, "--data-dir"),
            Long("http-listen") => set("http_listen", parser.value()?.string()?, "--http-listen"),
            Long("grpc-listen") => set("grpc_listen", parser.value()?.string()?, "--grpc-listen"),
            Long("listen") => set("grpc_listen", parser.value()?.string()?, "--listen"),
            Long("storage") => set("storage.url", parser.value()?.string()?, "--storage"),
            Long("backend") => set("storage.url", parser.value()?.string()?, "--backend"),
            Long("url") => drain.url = parser.value()?.string()?,
            Long("partition") => drain.partition = Some(parser.value()?.parse()?),
            Long("undo") => drain.undo = true,
            Long("start") => asked.start = Some(parser.value()?.string()?),
            Long("end") => asked.end = Some(parser.value()?.string()?),
            Long("match") => asked.selector = Some(parser.value()?.string()?),
            Long("query") => asked.query = Some(parser.value()?.string()?),
            Long("out") => asked.out = Some(parser.value()?.string()?),
            Long("format") => asked.format = format(&parser.value()?.string()?)?,
            Long("set") => {
                let pair = parser.value()?.string()?;
                let (key, value) = pair
                    .split_once('=')
                    .ok_or_else(|| CliError(format!("--set wants key=value, not {pair:?}")))?;
                set(key, value.to_owned(), "--set");
            }
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => return Ok(version()),
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    options = Options { config_file, expand_env: expand, check, print, ..options };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    command(&words, options, drain, asked)
}

/// What the words behind the program's name ask for.
fn command(
    words: &[&str],
    mut options: Options,
    drain: Drain,
    asked: Asked,
) -> Result<Command, CliError> {
    let one = |words: &[&str]| words.first().map(|&word| word.to_owned());
    match words {
        [] | ["server"] => Ok(Command::Server(options)),
        ["version"] => Ok(version()),
        ["drain"] => Ok(Command::Drain(drain)),
        ["storage", "serve"] => Ok(Command::StorageServe(options)),
        ["storage", "check", url] => {
            options.set.push(("storage.url".to_owned(), (*url).to_owned(), "argument"));
            Ok(Command::StorageCheck(options))
        }
        ["catalog", "show", rest @ ..] if rest.len() < 2 => {
            Ok(Command::Inspect(Inspect::CatalogShow(one(rest)), options))
        }
        ["catalog", "verify", rest @ ..] if rest.len() < 2 => {
            Ok(Command::Inspect(Inspect::CatalogVerify(one(rest)), options))
        }
        ["block", "show", tenant, id] => Ok(Command::Inspect(
            Inspect::BlockShow((*tenant).to_owned(), (*id).to_owned()),
            options,
        )),
        ["block", "verify", tenant, id] => Ok(Command::Inspect(
            Inspect::BlockVerify((*tenant).to_owned(), (*id).to_owned()),
            options,
        )),
        ["export", "metrics", tenant] => asked.export(What::Metrics, tenant, options),
        ["export", "logs", tenant] => asked.export(What::Logs, tenant, options),
        ["wal", "inspect"] => Ok(Command::Inspect(Inspect::Wal, options)),
        other => Err(CliError(format!("unknown command {:?}", other.join(" ")))),
    }
}

/// The flags of an export.
#[derive(Debug, Default)]
struct Asked {
    start: Option<String>,
    end: Option<String>,
    /// Of metrics.
    selector: Option<String>,
    /// Of logs.
    query: Option<String>,
    format: Format,
    out: Option<String>,
}

// === impl Asked ===

impl Asked {
    fn export(self, what: What, tenant: &str, options: Options) -> Result<Command, CliError> {
        let Self { start, end, selector, query, format, out } = self;
        let (query, other, name) = match what {
            What::Metrics => (selector, query, "--match, not --query"),
            What::Logs => (query, selector, "--query, not --match"),
        };
        if other.is_some() {
            return Err(CliError(format!("this export takes {name}")));
        }
        let out = out.ok_or_else(|| CliError("--out is missing: a directory, or -".to_owned()))?;
        let tenant = tenant.to_owned();
        Ok(Command::Export(Export { what, tenant, start, end, query, format, out }, options))
    }
}

fn format(text: &str) -> Result<Format, CliError> {
    match text {
        "parquet" => Ok(Format::Parquet),
        "ndjson" => Ok(Format::Ndjson),
        other => Err(CliError(format!("--format is parquet or ndjson, not {other:?}"))),
    }
}

fn version() -> Command {
    Command::Print(format!("skald {}\n", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, CliError> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn flags_become_configuration_keys() {
        let Command::Server(o) =
            parsed(&["--http-listen", "127.0.0.1:0", "--set", "limits.ingestion_rate=5"]).unwrap()
        else {
            panic!("not the server");
        };
        let keys: Vec<_> = o.set.iter().map(|(k, v, _)| (k.as_str(), v.as_str())).collect();
        assert_eq!(keys, [("http_listen", "127.0.0.1:0"), ("limits.ingestion_rate", "5")]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for args in [&["--no-such"][..], &["--set", "novalue"], &["frobnicate"], &["--target"]] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn what_is_looked_at_is_named() {
        let what = |args: &[&str]| match parsed(args) {
            Ok(Command::Inspect(what, _)) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(&["catalog", "show"]), Inspect::CatalogShow(None));
        assert_eq!(what(&["catalog", "verify", "t"]), Inspect::CatalogVerify(Some("t".to_owned())));
        let block = Inspect::BlockVerify("t".to_owned(), "id".to_owned());
        assert_eq!(what(&["block", "verify", "t", "id"]), block);
        assert_eq!(what(&["wal", "inspect", "--data-dir", "/x"]), Inspect::Wal);
        assert!(
            parsed(&["catalog", "show", "a", "b"]).is_err() && parsed(&["block", "show"]).is_err()
        );
    }

    #[test]
    fn exports_say_what_of_whom_and_where_to() {
        let args =
            ["export", "logs", "t", "--query", "{a=\"b\"}", "--format", "ndjson", "--out", "-"];
        let Ok(Command::Export(export, _)) = parsed(&args) else { panic!("no export") };
        let want = Export {
            what: What::Logs,
            tenant: "t".to_owned(),
            start: None,
            end: None,
            query: Some("{a=\"b\"}".to_owned()),
            format: Format::Ndjson,
            out: "-".to_owned(),
        };
        assert_eq!(export, want);
        for bad in [
            &["export", "metrics", "t"][..],
            &["export", "metrics", "t", "--out", "-", "--query", "x"],
            &["export", "logs", "t", "--out", "-", "--match", "x"],
            &["export", "logs", "t", "--out", "-", "--format", "csv"],
            &["export", "traces", "t", "--out", "-"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn storage_subcommands_take_a_url() {
        assert!(matches!(parsed(&["storage", "check", "memory://"]), Ok(Command::StorageCheck(_))));
        assert!(matches!(
            parsed(&["storage", "serve", "--backend", "memory://", "--listen", "127.0.0.1:0"]),
            Ok(Command::StorageServe(_))
        ));
    }
}
