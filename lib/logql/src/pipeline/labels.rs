//! The labels of one entry while it goes through a pipeline.
//!
//! Three categories are kept apart: the labels of the stream, the structured metadata, and what
//! was parsed at query time. Names and values lie in one arena that is reused from entry to entry,
//! so that after a few lines nothing is allocated any more.
//!
//! Clashes: a base name belongs to stream, then metadata, then parsed; the loser is called
//! `<name>_extracted`, where parsed wins over metadata. The test looks at the *original* labels of
//! the stream even when a stage has dropped them since.
//!
//! Invariant: no two slots bear the same name.

use skald_model::Labels;
use skald_model::labels::put_str;

pub const ERROR: &str = "__error__";
pub const ERROR_DETAILS: &str = "__error_details__";
pub(crate) const PRESERVE_ERROR: &str = "__preserve_error__";
const SUFFIX: &str = "_extracted";

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    Stream,
    Metadata,
    Parsed,
}

/// The values of `__error__`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    Json,
    Logfmt,
    SampleExtraction,
    LabelFilter,
    Template,
}

/// Whether a parsed label may replace one that was parsed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    FirstWins,
    Overwrite,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    name: (usize, usize),
    value: (usize, usize),
    category: Category,
    /// Of the name: unequal ones need not be compared.
    hash: u32,
}

/// A cheap hash of a name: enough to tell the labels of one line apart.
fn hash(name: &str) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let bytes = name.as_bytes();
    let mut out = bytes.len() as u64;
    let mut add = |word: u64| out = (out.rotate_left(23) ^ word).wrapping_mul(ODD);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        add(u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    add(words.remainder().iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    // The upper half of a product depends on all bits.
    u32::try_from(out >> 32).unwrap_or(0)
}

/// The bit that stands for a hash in `LabelSet::seen`.
fn bit(hash: u32) -> u64 {
    1 << (hash >> 26)
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct LabelSet {
    arena: String,
    slots: Vec<Slot>,
    /// The stream's own slots, copied back for each entry.
    base: Vec<Slot>,
    base_len: usize,
    /// A bit for each name that `base` has.
    base_seen: u64,
    /// A bit for each name that the line has or had: where it is missing nothing needs to be looked for.
    seen: u64,
    stream: Labels,
    metadata: Labels,
    stream_changed: bool,
    metadata_changed: bool,
    error: Option<LineError>,
    details: String,
    scratch: String,
}

// === impl LineError ===

impl LineError {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSONParserErr",
            Self::Logfmt => "LogfmtParserErr",
            Self::SampleExtraction => "SampleExtractionErr",
            Self::LabelFilter => "LabelFilterErr",
            Self::Template => "TemplateFormatErr",
        }
    }
}

// === impl LabelSet ===

impl LabelSet {
    /// Makes `labels` the stream of the entries to come.
    pub(crate) fn start_stream(&mut self, labels: &Labels) {
        self.arena.clear();
        self.slots.clear();
        self.seen = 0;
        for (name, value) in labels {
            self.push(name, value, Category::Stream);
        }
        self.base_seen = self.seen;
        self.base.clone_from(&self.slots);
        self.base_len = self.arena.len();
        self.stream = labels.clone();
        self.start_entry(&Labels::empty());
    }

    /// Forgets the last entry and takes the next one's structured metadata.
    pub(crate) fn start_entry(&mut self, metadata: &Labels) {
        self.arena.truncate(self.base_len);
        self.slots.clear();
        self.slots.extend_from_slice(&self.base);
        self.seen = self.base_seen;
        self.stream_changed = false;
        self.metadata_changed = false;
        self.error = None;
        self.details.clear();
        self.metadata = metadata.clone();
        for (name, value) in metadata {
            if !self.in_stream(name) {
                self.push(name, value, Category::Metadata);
                continue;
            }
            self.metadata_changed = true;
            let renamed = self.suffixed(name);
            // A label that bears this name by itself keeps it.
            if self.get(&renamed).is_none() && metadata.get(&renamed).is_none() {
                self.push(&renamed, value, Category::Metadata);
            }
            self.scratch = renamed;
        }
    }

    fn push(&mut self, name: &str, value: &str, category: Category) {
        self.push_hashed(name, hash(name), value, category);
    }

    fn push_hashed(&mut self, name: &str, hash: u32, value: &str, category: Category) {
        let start = self.arena.len();
        self.arena.push_str(name);
        let middle = self.arena.len();
        self.arena.push_str(value);
        let end = self.arena.len();
        self.seen |= bit(hash);
        self.slots.push(Slot { name: (start, middle), value: (middle, end), category, hash });
    }

    fn has_name(&self, slot: &Slot, name: &str, hash: u32) -> bool {
        slot.hash == hash && self.text(slot.name) == name
    }

    fn text(&self, range: (usize, usize)) -> &str {
        &self.arena[range.0..range.1]
    }

    fn in_stream(&self, name: &str) -> bool {
        let hash = hash(name);
        self.base_seen & bit(hash) != 0 && self.base.iter().any(|s| self.has_name(s, name, hash))
    }

    fn find(&self, name: &str, category: Category) -> Option<usize> {
        let hash = hash(name);
        if self.seen & bit(hash) == 0 {
            return None;
        }
        self.slots.iter().position(|s| s.category == category && self.has_name(s, name, hash))
    }

    fn suffixed(&mut self, name: &str) -> String {
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        out.push_str(name);
        out.push_str(SUFFIX);
        out
    }

    /// The value of a label, error labels excepted.
    pub fn get(&self, name: &str) -> Option<&str> {
        let hash = hash(name);
        if self.seen & bit(hash) == 0 {
            return None;
        }
        let slot = self.slots.iter().find(|s| self.has_name(s, name, hash));
        slot.map(|s| self.text(s.value))
    }

    /// The value a label filter sees.
    pub(crate) fn filter_value(&self, name: &str) -> &str {
        match name {
            ERROR => self.error.map_or("", LineError::as_str),
            ERROR_DETAILS => "",
            _ => self.get(name).unwrap_or(""),
        }
    }

    /// Whether `name` came from the stream or the metadata, so that a parsed one is renamed.
    pub(super) fn clashes(&self, name: &str) -> bool {
        self.in_stream(name) || self.find(name, Category::Metadata).is_some()
    }

    /// Adds what a parser found, unless `wanted` refuses the final name. `true` when it was wanted.
    pub(crate) fn add_parsed(
        &mut self,
        name: &str,
        value: &str,
        write: Write,
        wanted: impl Fn(&str) -> bool,
    ) -> bool {
        if name.is_empty() {
            return false;
        }
        let hash = hash(name);
        if self.seen & bit(hash) == 0 && !matches!(name, ERROR | ERROR_DETAILS) {
            // Most names are new ones: nothing to clash with, nothing to replace.
            let wanted = wanted(name);
            if wanted {
                self.push_hashed(name, hash, value, Category::Parsed);
            }
            return wanted;
        }
        if !self.clashes(name) {
            return self.store_parsed(name, value, write, wanted);
        }
        let renamed = self.suffixed(name);
        let out = self.store_parsed(&renamed, value, write, wanted);
        self.scratch = renamed;
        out
    }

    fn store_parsed(
        &mut self,
        name: &str,
        value: &str,
        write: Write,
        wanted: impl Fn(&str) -> bool,
    ) -> bool {
        if !wanted(name) {
            return false;
        }
        if write == Write::FirstWins && self.has_parsed(name) {
            return false;
        }
        // Only a renamed label can meet another here, and it wins.
        if self.get(name).is_some() || matches!(name, ERROR | ERROR_DETAILS) {
            self.remove(name);
        }
        self.push(name, value, Category::Parsed);
        true
    }

    /// Whether a parser stored this final name already.
    pub(crate) fn has_parsed(&self, name: &str) -> bool {
        self.find(name, Category::Parsed).is_some()
    }

    /// Whether a parser stored what clashes with `name` already.
    pub(super) fn has_parsed_suffixed(&mut self, name: &str) -> bool {
        let renamed = self.suffixed(name);
        let out = self.has_parsed(&renamed);
        self.scratch = renamed;
        out
    }

    /// Sets a label whatever it was before; it becomes a parsed one.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.push(name, value, Category::Parsed);
    }

    /// Gives `src`'s value to `dst` and removes `src`, even if both are one. Nothing happens when `src` is missing.
    pub(crate) fn rename(&mut self, dst: &str, src: &str) {
        let Some(value) = self.get(src).map(str::to_owned) else { return };
        self.set(dst, &value);
        self.remove(src);
    }

    /// Removes a label from all categories. Error labels are cleared.
    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            ERROR => self.error = None,
            ERROR_DETAILS => self.details.clear(),
            _ => self.retain(|n, _| n != name),
        }
    }

    /// Keeps the labels for which `keep` answers true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let Self { arena, slots, stream_changed, metadata_changed, .. } = self;
        slots.retain(|s| {
            let stays = keep(&arena[s.name.0..s.name.1], &arena[s.value.0..s.value.1]);
            *stream_changed |= !stays && s.category == Category::Stream;
            *metadata_changed |= !stays && s.category == Category::Metadata;
            stays
        });
    }

    pub fn error(&self) -> Option<LineError> {
        self.error
    }

    pub(crate) fn error_details(&self) -> &str {
        &self.details
    }

    /// Marks the line as broken; the details of an earlier error stay.
    pub(super) fn set_error_alone(&mut self, error: LineError) {
        self.error = Some(error);
    }

    /// Marks the line as broken; a later error replaces an earlier one.
    pub(crate) fn set_error(&mut self, error: LineError, details: &str) {
        self.error = Some(error);
        self.details.clear();
        self.details.push_str(details);
    }

    /// All labels in slot order, error labels excepted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.slots.iter().map(|s| (self.text(s.name), self.text(s.value)))
    }

    /// The labels of one category, sorted; error labels count as parsed.
    pub(crate) fn category(&self, category: Category) -> Labels {
        match category {
            Category::Stream if !self.stream_changed => return self.stream.clone(),
            Category::Metadata if !self.metadata_changed => return self.metadata.clone(),
            _ => {}
        }
        let of_category = self.slots.iter().filter(|s| s.category == category);
        let mut pairs: Vec<(&str, &str)> =
            of_category.map(|s| (self.text(s.name), self.text(s.value))).collect();
        if category == Category::Parsed {
            self.push_errors(&mut pairs);
        }
        if pairs.is_empty() { Labels::empty() } else { sorted_labels(pairs) }
    }

    fn push_errors<'a>(&'a self, pairs: &mut Vec<(&'a str, &'a str)>) {
        if let Some(error) = self.error {
            pairs.push((ERROR, error.as_str()));
        }
        if !self.details.is_empty() {
            pairs.push((ERROR_DETAILS, &self.details));
        }
    }

    /// As [`write_key`](Self::write_key) of the labels with these names, which are sorted; only for a
    /// line without an error.
    pub(crate) fn write_key_of(&self, out: &mut Vec<u8>, names: &[String]) {
        for name in names {
            if let Some(value) = self.get(name) {
                put_str(out, name);
                put_str(out, value);
            }
        }
    }

    /// Writes the canonical bytes of the labels that `keep` accepts into `out`.
    pub(crate) fn write_key(&self, out: &mut Vec<u8>, keep: impl Fn(&str) -> bool) {
        let mut pairs: Vec<(&str, &str)> = self.iter().filter(|(n, _)| keep(n)).collect();
        let mut errors = Vec::new();
        self.push_errors(&mut errors);
        pairs.extend(errors.into_iter().filter(|(n, _)| keep(n)));
        pairs.sort_unstable();
        for (name, value) in pairs {
            put_str(out, name);
            put_str(out, value);
        }
    }
}

/// Canonical labels of pairs in any order with unique names; empty values stay.
pub(crate) fn sorted_labels(mut pairs: Vec<(&str, &str)>) -> Labels {
    pairs.sort_unstable();
    skald_model::LabelsBuilder::from_sorted_with_empty(pairs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(stream: &[(&str, &str)], metadata: &[(&str, &str)]) -> LabelSet {
        let mut out = LabelSet::default();
        out.start_stream(&Labels::from_pairs(stream.iter().copied()));
        out.start_entry(&Labels::from_pairs(metadata.iter().copied()));
        out
    }

    #[test]
    fn the_parsed_value_takes_the_extracted_slot() {
        let mut labels = set(&[("k", "s")], &[("k", "m")]);
        assert_eq!(labels.get("k_extracted"), Some("m"));
        labels.add_parsed("k", "p", Write::FirstWins, |_| true);
        assert_eq!(labels.get("k"), Some("s"));
        assert_eq!(labels.get("k_extracted"), Some("p"));
        assert_eq!(labels.category(Category::Metadata), Labels::empty());
        assert_eq!(labels.category(Category::Parsed).to_string(), r#"{k_extracted="p"}"#);
    }

    #[test]
    fn labels_that_end_in_extracted_by_themselves_meet_renamed_ones() {
        let mut labels = set(&[("k", "s"), ("k_extracted", "own")], &[("k", "m")]);
        assert_eq!(labels.get("k_extracted"), Some("own"));
        labels.add_parsed("k", "p", Write::FirstWins, |_| true);
        assert_eq!(labels.get("k_extracted"), Some("p"));
        assert_eq!(labels.category(Category::Stream).to_string(), r#"{k="s"}"#);
        assert_eq!(labels.iter().count(), 2);
    }

    #[test]
    fn dropped_stream_labels_still_clash_but_dropped_metadata_does_not() {
        let mut labels = set(&[("a", "1")], &[("m", "1")]);
        labels.remove("a");
        labels.remove("m");
        labels.add_parsed("a", "2", Write::FirstWins, |_| true);
        labels.add_parsed("m", "2", Write::FirstWins, |_| true);
        assert_eq!(labels.category(Category::Parsed).to_string(), r#"{a_extracted="2", m="2"}"#);
    }

    #[test]
    fn the_first_of_two_implicit_values_stays_and_formats_overwrite() {
        let mut labels = set(&[("app", "x")], &[]);
        assert!(labels.add_parsed("a", "1", Write::FirstWins, |_| true));
        assert!(!labels.add_parsed("a", "2", Write::FirstWins, |_| true));
        labels.set("app", "y");
        assert_eq!(labels.get("app"), Some("y"));
        assert_eq!(labels.category(Category::Stream), Labels::empty());
        labels.start_entry(&Labels::empty());
        assert_eq!(labels.get("app"), Some("x"));
        assert_eq!(labels.get("a"), None);
    }
}
