//! Speed of append + commit and of replay on the machine's disk:
//! `cargo bench -p skald-wal --bench wal -- [dir] [total MiB] [record KiB] [writers]`.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use skald_model::TenantId;
use skald_runtime::{ByteSize, Rng};
use skald_wal::{Config, Metrics, StdFs, Wal};
use tokio::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let dir = args.next().map_or_else(|| std::env::temp_dir().join("wal_bench"), PathBuf::from);
    let mut number = |default: usize| args.next().map_or(Ok(default), |a| a.parse());
    let (total, record, writers) = (number(512)? << 20, number(64)? << 10, number(16)?);
    std::fs::remove_dir_all(&dir).ok();
    let config = Config { ballast: ByteSize(0), ..Config::default() };
    let open = || {
        let fs = Arc::new(StdFs);
        Wal::open(fs, &dir, config.clone(), &Rng::from_entropy(), Metrics::default())
    };
    let mut out = std::io::stdout();

    let (wal, _) = open()?;
    let payload = vec![7; record];
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (wal, payload) = (wal.clone(), payload.clone());
            skald_runtime::spawn("write", async move {
                for _ in 0..total / record / writers {
                    let seq = wal.append(&TenantId::single(), 1, &[&payload])?.seq;
                    wal.commit(seq).await?;
                }
                Ok::<_, skald_wal::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let rate = mib_per_second(wal.size_bytes(), start);
    writeln!(out, "append + commit: {rate:.0} MiB/s, {} records", wal.last_seq())?;
    wal.close().await?;
    drop(wal);

    let (_wal, replay) = open()?;
    let start = Instant::now();
    let summary = replay.run::<skald_wal::Error>(&mut |_| Ok(()))?;
    writeln!(out, "replay: {:.0} MiB/s", mib_per_second(summary.bytes, start))?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib_per_second(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / f64::from(1 << 20) / start.elapsed().as_secs_f64()
}
