//! What a process keeps of the cluster on its own disk, so that it can start while the store is away.

use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::picture::Picture;

/// Longest file that is read.
const MAX_FILE: u64 = 64 << 20;

/// `identity.json`: whose disk this is. It lies beside the write-ahead log and goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) replica: String,
    /// Random, made with the directory.
    pub(crate) disk: String,
    /// The newest that was claimed with this disk.
    pub(crate) epoch: u64,
}

/// Files of one process.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    picture: PathBuf,
}

// === impl Disk ===

impl Disk {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { picture: data_dir.join("cluster.json") }
    }

    /// The last picture that was kept.
    pub(crate) async fn picture(&self) -> Result<Option<Picture>, Error> {
        read(&self.picture).await
    }

    pub(crate) async fn keep_picture(&self, picture: &Picture) -> Result<(), Error> {
        write(&self.picture, picture).await
    }
}

/// The identity of the disk that holds `dir`.
pub(crate) async fn identity(dir: &Path) -> Result<Option<Identity>, Error> {
    read(&dir.join("identity.json")).await
}

pub(crate) async fn keep_identity(dir: &Path, identity: &Identity) -> Result<(), Error> {
    write(&dir.join("identity.json"), identity).await
}

async fn read<T: DeserializeOwned + Send + 'static>(path: &Path) -> Result<Option<T>, Error> {
    let path = path.to_owned();
    blocking(move || {
        let named = |e: Error| Error::new(e.kind(), format!("{}: {e}", path.display()));
        match fs::metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(named(e)),
            Ok(meta) if meta.len() > MAX_FILE => {
                return Err(named(Error::new(ErrorKind::InvalidData, "too large")));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(named)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| named(Error::new(ErrorKind::InvalidData, e)))
    })
    .await
}

/// Replaces a file as a whole and waits for the disk.
async fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(Error::other)?;
    let path = path.to_owned();
    blocking(move || {
        let named = |e: Error| Error::new(e.kind(), format!("{}: {e}", path.display()));
        let new = path.with_extension("json.new");
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(named)?;
        }
        let mut file = fs::File::create(&new).map_err(named)?;
        file.write_all(&bytes).map_err(named)?;
        file.sync_all().map_err(named)?;
        fs::rename(&new, &path).map_err(named)?;
        if let Some(dir) = path.parent() {
            fs::File::open(dir).map_err(named)?.sync_all().map_err(named)?;
        }
        Ok(())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    skald_runtime::spawn_blocking(work).await.map_err(Error::other)?
}
