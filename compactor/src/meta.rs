//! Between the catalog's description of a block and that of the block reader.

use skald_blocks::{BlockId, BlockMeta, InvalidBlockId};
use skald_catalog::Signal as WireSignal;
use skald_model::Signal;

/// What the catalog says that no block can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMeta {
    #[error(transparent)]
    Id(#[from] InvalidBlockId),
    #[error("unknown signal")]
    Signal,
}

pub(crate) fn signal(signal: WireSignal) -> Option<Signal> {
    match signal {
        WireSignal::Metrics => Some(Signal::Metrics),
        WireSignal::Logs => Some(Signal::Logs),
        WireSignal::Unspecified => None,
    }
}

/// What the block reader must know of a block of the catalog.
pub fn from_catalog(meta: &skald_catalog::BlockMeta) -> Result<BlockMeta, BadMeta> {
    Ok(BlockMeta {
        id: BlockId::parse(&meta.id)?,
        signal: signal(meta.signal()).ok_or(BadMeta::Signal)?,
        min_time: meta.min_time,
        max_time: meta.max_time,
        n_series: meta.n_series,
        n_rows: meta.n_rows,
        size_bytes: meta.size_bytes,
        crc32c: meta.crc32c,
        level: meta.level,
        format_version: meta.format_version,
        sources: meta.sources.clone(),
    })
}

pub(crate) fn to_catalog(meta: &BlockMeta) -> skald_catalog::BlockMeta {
    let signal = match meta.signal {
        Signal::Metrics => WireSignal::Metrics,
        Signal::Logs => WireSignal::Logs,
    };
    skald_catalog::BlockMeta {
        id: meta.id.to_string(),
        signal: signal.into(),
        min_time: meta.min_time,
        max_time: meta.max_time,
        n_series: meta.n_series,
        n_rows: meta.n_rows,
        size_bytes: meta.size_bytes,
        crc32c: meta.crc32c,
        level: meta.level,
        format_version: meta.format_version,
        sources: meta.sources.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_survives_both_ways_and_a_bad_one_is_refused() {
        let wire = skald_catalog::BlockMeta {
            id: BlockId::new(5, 7).to_string(),
            signal: WireSignal::Logs.into(),
            min_time: -1,
            max_time: 2,
            n_series: 3,
            n_rows: 4,
            size_bytes: 5,
            crc32c: 6,
            level: 7,
            format_version: 8,
            sources: vec!["a".into()],
        };
        assert_eq!(to_catalog(&from_catalog(&wire).unwrap()), wire);
        let no_signal = skald_catalog::BlockMeta { signal: 0, ..wire.clone() };
        assert_eq!(from_catalog(&no_signal), Err(BadMeta::Signal));
        let bad_id = skald_catalog::BlockMeta { id: "../x".into(), ..wire };
        assert!(matches!(from_catalog(&bad_id), Err(BadMeta::Id(_))));
    }
}
