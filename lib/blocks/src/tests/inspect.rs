use object_store::{ObjectStoreExt, PutPayload};
use skald_model::{ErrorKind, stale_nan};

use super::*;
use crate::{BlockCounts, inspect_block, path, read_block};

#[tokio::test]
async fn all_of_a_block_is_counted_and_its_columns_named() {
    let shelf = Shelf::new();
    let row =
        |name: &str| floats(labels(&[("__name__", name)]), &[(T0, 1.0), (T0 + STEP, stale_nan())]);
    let metrics = metric_block(vec![row("a"), row("b")]);
    let lines = vec![entry(1, "x", &[]), entry(2, "y", &[("k", "v")])];
    let mut other = options();
    other.id = BlockId::new(T0, 43);
    let logs = log_block(vec![(labels(&[("app", "a")]), lines)], other);
    for (block, expected, column) in [
        (&metrics, BlockCounts { series: 2, rows: 4 }, "floats"),
        (&logs, BlockCounts { series: 1, rows: 2 }, "m_k"),
    ] {
        put_block(&shelf.store, &shelf.tenant, block).await.unwrap();
        let counts = read_block(&shelf.store, &shelf.tenant, &block.meta).await.unwrap();
        assert_eq!(counts, expected);
        let report = inspect_block(&shelf.store, &shelf.tenant, &block.meta).await.unwrap();
        assert_eq!(report.keys["skald.id"], block.meta.id.to_string());
        assert!(report.columns.iter().any(|c| c.path == column && c.bytes > 0), "{report:?}");
        let mut wrong = block.meta.clone();
        wrong.n_rows += 1;
        let err = read_block(&shelf.store, &shelf.tenant, &wrong).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Corrupt, "{err}");
        let mut bytes = block.bytes.to_vec();
        bytes[20] ^= 1;
        let at = path(&shelf.tenant, block.meta.id);
        shelf.store.put(&at, PutPayload::from(bytes)).await.unwrap();
        let err = read_block(&shelf.store, &shelf.tenant, &block.meta).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Corrupt, "{err}");
    }
}
