//! What each run of the fuzzer does with a message of the manifest log: as a commit and as a checkpoint, in frames with right
//! checksums, and as the frame itself. A view or an error.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use skald_catalog::{Author, Catalog, Config};
use skald_model::TenantId;
use skald_runtime::{ManualClock, Rng};

pub(crate) fn run(data: &[u8]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        for (name, bytes) in [
            (format!("{:020}.pb", 1), framed(1, data)),
            (format!("ckpt-{:020}.pb", 1), framed(2, data)),
            (format!("{:020}.pb", 1), Bytes::copy_from_slice(data)),
        ] {
            read(&name, bytes).await;
        }
    });
}

async fn read(name: &str, bytes: Bytes) {
    let store = Arc::new(InMemory::new());
    let tenant = TenantId::single();
    let at = Path::from(format!("t/{tenant}/m/{name}"));
    store.put(&at, bytes.into()).await.expect("a store in memory");
    let store: Arc<dyn ObjectStore> = store;
    let author = Author { replica: "fuzz".to_owned(), epoch: 0 };
    let clock = ManualClock::at_ms(1_700_000_000_000);
    let catalog = Catalog::new(store, clock, Rng::seeded(1), author, Config::default());
    if let Ok(view) = catalog.refresh(&tenant).await {
        assert!(view.number <= 1);
    }
}

/// docs/formats/manifest.md
fn framed(kind: u8, message: &[u8]) -> Bytes {
    let mut out = b"SKMF".to_vec();
    out.extend([1, kind, 0, 0]);
    out.extend(u32::try_from(message.len()).expect("short").to_le_bytes());
    out.extend(message);
    let crc = crc32c::crc32c(&out);
    out.extend(crc.to_le_bytes());
    out.into()
}
