//! Blocks: as the catalog lists them, as their footers describe them, and whether they can be read.

use std::fmt::Write;
use std::sync::Arc;

use skald_blocks::{BlockMeta, inspect_block, read_block};
use skald_catalog::View;
use skald_model::{Chain, Signal};

use super::{InspectError, Stored, parse_tenant};

impl Stored {
    /// Every block of the tenants, a line each.
    pub(super) async fn show_catalog(&self, tenant: Option<&str>) -> Result<(), InspectError> {
        for view in self.views(tenant).await? {
            crate::print(&of_view(&view));
        }
        Ok(())
    }

    /// Reads every block of the tenants whole; fails when one is missing or damaged.
    pub(super) async fn verify_catalog(&self, tenant: Option<&str>) -> Result<(), InspectError> {
        let (mut n_blocks, mut n_bad) = (0, 0);
        for view in self.views(tenant).await? {
            for block in &view.blocks {
                n_blocks += 1;
                let found = match meta(block) {
                    Ok(meta) => read_block(&self.store, &view.tenant, &meta)
                        .await
                        .map_err(InspectError::Block),
                    Err(e) => Err(e),
                };
                if let Err(e) = found {
                    n_bad += 1;
                    crate::print(&format!("{} {}: {}\n", view.tenant, block.id, Chain(&e)));
                }
            }
        }
        crate::print(&format!("{n_blocks} blocks read, {n_bad} of them bad\n"));
        if n_bad == 0 { Ok(()) } else { Err(InspectError::Damaged(format!("{n_bad} blocks are"))) }
    }

    /// What the catalog and the footer say of a block.
    pub(super) async fn show_block(&self, tenant: &str, id: &str) -> Result<(), InspectError> {
        let (view, meta) = self.block(tenant, id).await?;
        let report = inspect_block(&self.store, &view.tenant, &meta).await?;
        let mut out = String::new();
        let _ = writeln!(out, "object      {}", skald_blocks::path(&view.tenant, meta.id));
        let _ = writeln!(out, "crc32c      {:08x}", meta.crc32c);
        let _ = writeln!(out, "size        {} bytes", meta.size_bytes);
        let _ = writeln!(out, "sources     {}", meta.sources.join(" "));
        for (key, value) in &report.keys {
            let value: String = value.chars().take(120).collect();
            let _ = writeln!(out, "{key:<28} {value}");
        }
        let _ = writeln!(out, "row groups  {:?}", report.row_groups);
        let _ = writeln!(out, "\n{:>12} {:>12}  column", "bytes", "raw");
        for column in &report.columns {
            let _ = writeln!(out, "{:>12} {:>12}  {}", column.bytes, column.raw_bytes, column.path);
        }
        crate::print(&out);
        Ok(())
    }

    /// Reads and decodes a block whole.
    pub(super) async fn verify_block(&self, tenant: &str, id: &str) -> Result<(), InspectError> {
        let (view, meta) = self.block(tenant, id).await?;
        let counts = read_block(&self.store, &view.tenant, &meta).await?;
        let (series, rows) = units(meta.signal);
        crate::print(&format!("ok: {} {series}, {} {rows}\n", counts.series, counts.rows));
        Ok(())
    }

    async fn block(&self, tenant: &str, id: &str) -> Result<(Arc<View>, BlockMeta), InspectError> {
        let tenant = parse_tenant(tenant)?;
        let view = self.catalog.refresh(&tenant).await?;
        let Some(block) = view.block(id) else {
            return Err(InspectError::NoBlock { tenant, id: id.to_owned() });
        };
        let meta = meta(block)?;
        Ok((view, meta))
    }
}

fn of_view(view: &View) -> String {
    let mut out = String::new();
    let bytes: u64 = view.blocks.iter().map(|b| b.size_bytes).sum();
    let _ = writeln!(
        out,
        "tenant {}  commit {}  {} blocks, {bytes} bytes  {} removed  {} deletes",
        view.tenant,
        view.number,
        view.blocks.len(),
        view.removed.len(),
        view.deletes.values().filter(|d| d.finished_ms == 0).count(),
    );
    for (replica, watermark) in &view.watermarks {
        let _ = writeln!(out, "  replica {replica}: in blocks up to record {watermark}");
    }
    if !view.blocks.is_empty() {
        let _ = writeln!(
            out,
            "  {:<26} {:<7} {:>5} {:>22} {:>20} {:>9} {:>12} {:>12}  sources",
            "id", "signal", "level", "from", "to", "series", "rows", "bytes"
        );
    }
    for b in &view.blocks {
        let signal = format!("{:?}", b.signal()).to_lowercase();
        let _ = writeln!(
            out,
            "  {:<26} {signal:<7} {:>5} {:>22} {:>20} {:>9} {:>12} {:>12}  {}",
            b.id,
            b.level,
            b.min_time,
            b.max_time,
            b.n_series,
            b.n_rows,
            b.size_bytes,
            b.sources.join(" ")
        );
    }
    out
}

fn meta(block: &skald_catalog::BlockMeta) -> Result<BlockMeta, InspectError> {
    skald_compactor::block_meta(block)
        .map_err(|e| InspectError::BadMeta { id: block.id.clone(), reason: e.to_string() })
}

fn units(signal: Signal) -> (&'static str, &'static str) {
    match signal {
        Signal::Metrics => ("series", "samples"),
        Signal::Logs => ("streams", "lines"),
    }
}
