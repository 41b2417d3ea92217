//! Polling the overrides file.

use std::path::PathBuf;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use skald_model::Chain;
use skald_runtime::Shutdown;
use tracing::{info, warn};

use super::{LoadError, Overrides, file};

/// How reloading goes.
#[derive(Clone, Debug, Default)]
pub struct ReloadMetrics {
    /// 1 while the file on disk is not the one in force.
    pub failed: Gauge,
    pub reloads: Counter,
}

impl ReloadMetrics {
    /// Registers under `registry`, the root one.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register(
            "skald_limits_overrides_reload_failed",
            "1 while the overrides file cannot be used and the limits before it stay in force",
            this.failed.clone(),
        );
        registry.register(
            "skald_limits_overrides_reloads",
            "Changed overrides files taken",
            this.reloads.clone(),
        );
        this
    }
}

/// Polls `path` every `period` and swaps the limits of `overrides` when its content changed, until `shutdown`.
pub async fn watch(
    overrides: Overrides,
    path: PathBuf,
    period: Duration,
    metrics: ReloadMetrics,
    shutdown: Shutdown,
) {
    let mut last: Option<String> = None;
    let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = ticks.tick() => {}
        }
        let file = path.clone();
        let read = skald_runtime::spawn_blocking(move || file::read(&file)).await;
        let Ok(read) = read else { continue };
        match read.and_then(|text| take(&overrides, &path, &mut last, text)) {
            // What is in force is what the file says: also after a bad version was taken back.
            Ok(false) => {
                metrics.failed.set(0);
            }
            Ok(true) => {
                metrics.failed.set(0);
                metrics.reloads.inc();
                info!(path = %path.display(), "overrides reloaded");
            }
            Err(e) => {
                // Said once per change for the better or worse, not at each poll.
                if metrics.failed.set(1) == 0 {
                    warn!(error = %Chain(&e), "overrides not reloaded, old limits stay in force");
                }
            }
        }
    }
}

/// Whether `text` was new and was taken.
fn take(
    overrides: &Overrides,
    path: &std::path::Path,
    last: &mut Option<String>,
    text: String,
) -> Result<bool, LoadError> {
    if last.as_ref() == Some(&text) {
        return Ok(false);
    }
    overrides.replace(path, &text)?;
    *last = Some(text);
    Ok(true)
}
