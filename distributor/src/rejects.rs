//! What was refused of a push that was otherwise accepted: one entry per error id, with counts and the first case.

use std::borrow::Cow;

use skald_model::ErrorKind;
use skald_rpc::ingester::Rejection;

/// Error ids of the distributor. They are stable; docs/errors.md explains each.
pub(crate) mod ids {
    pub(crate) const MISSING_METRIC_NAME: &str = "err-skald-missing-metric-name";
    pub(crate) const LABEL_INVALID: &str = "err-skald-label-invalid";
    pub(crate) const LABEL_NAME_TOO_LONG: &str = "err-skald-label-name-too-long";
    pub(crate) const LABEL_VALUE_TOO_LONG: &str = "err-skald-label-value-too-long";
    pub(crate) const DUPLICATE_LABEL_NAMES: &str = "err-skald-duplicate-label-names";
    pub(crate) const MAX_LABEL_NAMES: &str = "err-skald-max-label-names-per-series";
    pub(crate) const TOO_FAR_IN_FUTURE: &str = "err-skald-too-far-in-future";
    pub(crate) const TOO_FAR_IN_PAST: &str = "err-skald-too-far-in-past";
    pub(crate) const NO_SAMPLES: &str = "err-skald-series-without-samples";
    pub(crate) const MIXED_SAMPLES: &str = "err-skald-series-mixes-floats-and-histograms";
    pub(crate) const EXEMPLAR_LABELS_TOO_LONG: &str = "err-skald-exemplar-labels-too-long";
    pub(crate) const EXEMPLAR_LABELS_INVALID: &str = "err-skald-exemplar-labels-invalid";
    pub(crate) const METADATA_MISSING_NAME: &str = "err-skald-metadata-missing-metric-name";
    pub(crate) const METADATA_TOO_LONG: &str = "err-skald-metadata-too-long";
    pub(crate) const MAX_HA_CLUSTERS: &str = "err-skald-max-ha-clusters";
    pub(crate) const NO_ELECTION: &str = "err-skald-no-ha-election";
    pub(crate) const INGESTION_RATE: &str = "err-skald-tenant-max-ingestion-rate";
    pub(crate) const INFLIGHT_BYTES: &str = "err-skald-distributor-max-inflight-bytes";
    pub(crate) const BODY_TOO_LARGE: &str = "err-skald-distributor-max-write-message-size";
    pub(crate) const MALFORMED: &str = "err-skald-malformed-request";
    pub(crate) const UNSUPPORTED: &str = "err-skald-unsupported-media-type";
    pub(crate) const NO_QUORUM: &str = "err-skald-no-write-quorum";
    pub(crate) const NO_PARTITION: &str = "err-skald-no-partition";
    pub(crate) const NO_TENANT: &str = "err-skald-no-org-id";
    pub(crate) const NO_STREAMS: &str = "err-skald-no-streams";
    pub(crate) const SLOW_BODY: &str = "err-skald-body-timeout";
    pub(crate) const INTERNAL: &str = "err-skald-internal";
    // Loki's words for its discard reasons.
    pub(crate) const INVALID_LABELS: &str = "err-skald-invalid-labels";
    pub(crate) const MISSING_LABELS: &str = "err-skald-missing-labels";
    pub(crate) const LINE_TOO_LONG: &str = "err-skald-line-too-long";
    pub(crate) const MAX_SAMPLE_AGE: &str = "err-skald-greater-than-max-sample-age";
    pub(crate) const METADATA_TOO_LARGE: &str = "err-skald-structured-metadata-too-large";
    pub(crate) const METADATA_TOO_MANY: &str = "err-skald-structured-metadata-too-many";
    // Of documents.
    pub(crate) const BAD_DOCUMENT: &str = "err-skald-document-unreadable";
    pub(crate) const BAD_TIME: &str = "err-skald-document-time-invalid";
    pub(crate) const BAD_ACTION: &str = "err-skald-bulk-action-unsupported";
    pub(crate) const RATE_LIMITED: &str = "err-skald-rate-limited";
}

/// What a refusal of a part is called where an id is wanted.
pub(crate) const PARTIAL: &str = "partial";
/// Longest list answered; more ids than that exist nowhere.
const MAX_IDS: usize = 64;
/// Longest single message, in bytes.
const MAX_MESSAGE: usize = 600;

/// What was refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) id: Cow<'static, str>,
    pub(crate) kind: ErrorKind,
    pub(crate) count: u64,
    /// About the first case.
    pub(crate) message: String,
}

/// Everything refused, in order of first occurrence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejects {
    list: Vec<Reject>,
}

// === impl Reject ===

impl Reject {
    /// The value of the `reason` label: the id without its prefix, with underscores.
    pub(crate) fn reason(&self) -> String {
        self.id.strip_prefix("err-skald-").unwrap_or(&self.id).replace('-', "_")
    }
}

// === impl Rejects ===

impl Rejects {
    /// Counts `n` refused items; `message` is asked only for the first of an id.
    pub(crate) fn add(&mut self, id: &'static str, n: u64, message: impl FnOnce() -> String) {
        if let Some(known) = self.list.iter_mut().find(|r| r.id == id) {
            known.count += n;
            return;
        }
        self.push(Reject {
            id: Cow::Borrowed(id),
            kind: ErrorKind::Invalid,
            count: n,
            message: message(),
        });
    }

    /// Takes over what an ingester refused.
    pub(crate) fn merge(&mut self, rejections: &[Rejection]) {
        for r in rejections {
            match self.list.iter_mut().find(|known| known.id == r.id && known.kind == r.kind) {
                Some(known) => known.count += r.count,
                None => self.push(Reject {
                    id: Cow::Owned(r.id.clone()),
                    kind: r.kind,
                    count: r.count,
                    message: r.message.clone(),
                }),
            }
        }
    }

    /// Takes over everything of `other`.
    pub(crate) fn append(&mut self, other: Self) {
        for r in other.list {
            match self.list.iter_mut().find(|known| known.id == r.id && known.kind == r.kind) {
                Some(known) => known.count += r.count,
                None => self.push(r),
            }
        }
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.list.iter().any(|r| r.id == id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Reject> {
        self.list.iter()
    }

    pub(crate) fn total(&self) -> u64 {
        self.list.iter().map(|r| r.count).sum()
    }

    /// Whether sending the same again later may store what was refused.
    pub(crate) fn is_retryable(&self) -> bool {
        self.list.iter().any(|r| r.kind == ErrorKind::LimitExceeded)
    }

    fn push(&mut self, mut reject: Reject) {
        if self.list.len() < MAX_IDS {
            cut(&mut reject.message, MAX_MESSAGE);
            self.list.push(reject);
        }
    }
}

/// Cuts `text` to at most `max` bytes at a character's border.
pub(crate) fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = text.floor_char_boundary(max);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_id_and_keeps_the_first_message() {
        let mut rejects = Rejects::default();
        rejects.add(ids::LABEL_INVALID, 2, || "first".into());
        rejects.add(ids::LABEL_INVALID, 3, || unreachable!());
        rejects.merge(&[Rejection {
            id: "err-skald-sample-out-of-order".into(),
            kind: ErrorKind::Invalid,
            count: 4,
            message: "late".into(),
        }]);
        assert_eq!(rejects.total(), 9);
        assert!(!rejects.is_retryable());
        let reasons: Vec<_> = rejects.iter().map(Reject::reason).collect();
        assert_eq!(reasons, ["label_invalid", "sample_out_of_order"]);
    }

    #[test]
    fn messages_are_bounded() {
        let mut rejects = Rejects::default();
        rejects.add(ids::LABEL_INVALID, 1, || "ä".repeat(10_000));
        assert!(rejects.iter().next().unwrap().message.len() <= MAX_MESSAGE + 3);
    }
}
