//! Where an export goes: a file for each day that has rows, under its name once it is whole, or standard output.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use skald_model::calendar::date_of;

use super::encode::Encoder;
use super::{Export, ExportError, Format, What};

/// Bytes that are gathered before they are written.
const PIECE: usize = 256 << 10;

pub(super) struct Output {
    export: Export,
    day: i64,
    file: Option<Current>,
    n_rows: u64,
    n_files: u64,
}

/// What is being written.
struct Current {
    encoder: Encoder,
    sink: Sink,
    /// Bytes that are to be written.
    ready: Vec<u8>,
    day: i64,
}

enum Sink {
    Stdout,
    /// A file that has another name until it is whole.
    File {
        file: File,
        partial: PathBuf,
        whole: PathBuf,
    },
}

// === impl Output ===

impl Output {
    pub(super) fn new(export: &Export) -> Result<Self, ExportError> {
        if export.out != "-" {
            std::fs::create_dir_all(&export.out).map_err(io(Path::new(&export.out)))?;
        }
        Ok(Self { export: export.clone(), day: 0, file: None, n_rows: 0, n_files: 0 })
    }

    /// What comes is of this day, counted from 1970.
    pub(super) fn begin(&mut self, day: i64) -> Result<(), ExportError> {
        self.day = day;
        let other = self.export.out != "-" && self.file.as_ref().is_some_and(|f| f.day != day);
        if other { self.close() } else { Ok(()) }
    }

    /// Has rows written; `rows` answers how many there are.
    pub(super) fn put(
        &mut self,
        rows: impl FnOnce(&mut Encoder) -> Result<u64, ExportError>,
    ) -> Result<(), ExportError> {
        let current = match &mut self.file {
            Some(current) => current,
            empty => empty.insert(Current::open(&self.export, self.day)?),
        };
        self.n_rows += rows(&mut current.encoder)?;
        current.ready.append(&mut current.encoder.take());
        if current.ready.len() >= PIECE { current.write() } else { Ok(()) }
    }

    /// Closes what is open. Answers the numbers of rows and files.
    pub(super) fn finish(mut self) -> Result<(u64, u64), ExportError> {
        if self.file.is_none() && self.export.out == "-" {
            // Nothing is a file, too.
            self.file = Some(Current::open(&self.export, 0)?);
        }
        self.close()?;
        Ok((self.n_rows, self.n_files))
    }

    fn close(&mut self) -> Result<(), ExportError> {
        let Some(current) = self.file.take() else { return Ok(()) };
        self.n_files += 1;
        current.finish()
    }
}

// === impl Current ===

impl Current {
    fn open(export: &Export, day: i64) -> Result<Self, ExportError> {
        let encoder = Encoder::new(export)?;
        let sink = if export.out == "-" {
            Sink::Stdout
        } else {
            let whole = Path::new(&export.out).join(name(export, day));
            let partial = whole.with_extension("partial");
            if whole.exists() {
                let source = std::io::ErrorKind::AlreadyExists.into();
                return Err(ExportError::Io { what: format!("write {}", whole.display()), source });
            }
            let file = File::create(&partial).map_err(io(&partial))?;
            Sink::File { file, partial, whole }
        };
        Ok(Self { encoder, sink, ready: Vec::new(), day })
    }

    fn write(&mut self) -> Result<(), ExportError> {
        let written = match &mut self.sink {
            Sink::Stdout => std::io::stdout().write_all(&self.ready),
            Sink::File { file, .. } => file.write_all(&self.ready),
        };
        written.map_err(io(self.sink.path()))?;
        self.ready.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), ExportError> {
        let encoder = std::mem::replace(&mut self.encoder, Encoder::Ndjson(Vec::new()));
        self.ready.append(&mut encoder.finish()?);
        self.write()?;
        match self.sink {
            Sink::Stdout => std::io::stdout().flush().map_err(io(Path::new("-"))),
            Sink::File { file, partial, whole } => {
                file.sync_all().map_err(io(&partial))?;
                std::fs::rename(&partial, &whole).map_err(io(&whole))
            }
        }
    }
}

// === impl Sink ===

impl Sink {
    fn path(&self) -> &Path {
        match self {
            Self::Stdout => Path::new("-"),
            Self::File { partial, .. } => partial,
        }
    }
}

/// `metrics-2026-01-31.parquet`
fn name(export: &Export, day: i64) -> String {
    let what = match export.what {
        What::Metrics => "metrics",
        What::Logs => "logs",
    };
    let (year, month, day) = date_of(day);
    let format = match export.format {
        Format::Parquet => "parquet",
        Format::Ndjson => "ndjson",
    };
    format!("{what}-{year:04}-{month:02}-{day:02}.{format}")
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let what = format!("write {}", path.display());
    move |source| ExportError::Io { what, source }
}
