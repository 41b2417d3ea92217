//! Reading and merging the overrides file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use skald_model::TenantId;

use super::LoadError;
use crate::Limits;

/// Larger files are refused before they are read.
const MAX_FILE_BYTES: u64 = 16 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    overrides: Option<BTreeMap<String, Option<Map<String, Value>>>>,
}

pub(super) fn read(path: &Path) -> Result<String, LoadError> {
    let failed = |source| LoadError::Read { path: path.display().to_string(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE_BYTES {
        let message = format!("{size} bytes exceed the limit of {MAX_FILE_BYTES}");
        return Err(LoadError::Parse { path: path.display().to_string(), message });
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The limits of each tenant named in `text`, merged over `defaults`.
pub(super) fn parse(
    path: &Path,
    text: &str,
    defaults: &Limits,
) -> Result<BTreeMap<String, Arc<Limits>>, LoadError> {
    let bad = |message: String| LoadError::Parse { path: path.display().to_string(), message };
    // An empty file is no YAML document, but it is a clear wish: no overrides.
    let only_comments = text.lines().all(|l| l.trim().is_empty() || l.trim().starts_with('#'));
    if only_comments {
        return Ok(BTreeMap::new());
    }
    let file: File = serde_saphyr::from_str(text).map_err(|e| bad(e.to_string()))?;
    let base = serde_json::to_value(defaults).map_err(|e| bad(e.to_string()))?;
    let mut out = BTreeMap::new();
    for (tenant, changes) in file.overrides.unwrap_or_default() {
        TenantId::parse(&tenant).map_err(|e| bad(format!("tenant {tenant:?}: {e}")))?;
        let mut merged = base.clone();
        if let Value::Object(fields) = &mut merged {
            fields.extend(changes.unwrap_or_default());
        }
        let limits: Limits =
            serde_json::from_value(merged).map_err(|e| bad(format!("tenant {tenant:?}: {e}")))?;
        limits.validate().map_err(|e| bad(format!("tenant {tenant:?}: {e}")))?;
        out.insert(tenant, Arc::new(limits));
    }
    Ok(out)
}
