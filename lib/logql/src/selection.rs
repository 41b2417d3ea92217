//! A log query as a question to single entries: what a request to delete lines names.

use memchr::memmem;
use skald_model::{Labels, LogEntry, Matcher, StreamEntries};

use crate::ast::Expr;
use crate::error::ParseError;
use crate::parser::{check_selector, parse};
use crate::pipeline::{Pipeline, Work};

/// Entries of streams that match, whose lines pass.
#[derive(Debug)]
pub struct Selection {
    matchers: Vec<Matcher>,
    /// `None` when every line passes.
    pipeline: Option<Pipeline>,
}

// === impl Selection ===

impl Selection {
    /// Parses a log query; its selector must select something by content.
    pub fn parse(query: &str) -> Result<Self, ParseError> {
        let Expr::Log(log) = parse(query)? else {
            return Err(ParseError::whole("a log query is needed, not a metric query"));
        };
        check_selector(&log.matchers)?;
        let pipeline = if log.stages.is_empty() { None } else { Some(Pipeline::compile(&log)?) };
        Ok(Self { matchers: log.matchers, pipeline })
    }

    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether only some lines of a stream may be selected.
    pub fn looks_at_lines(&self) -> bool {
        self.pipeline.is_some()
    }

    pub fn selects_stream(&self, labels: &Labels) -> bool {
        Matcher::all(&self.matchers, labels)
    }

    /// Whether the entry is selected; its stream is one that [`selects_stream`](Self::selects_stream).
    pub fn selects(&self, work: &mut Work, labels: &Labels, entry: &LogEntry) -> bool {
        let Some(pipeline) = &self.pipeline else { return true };
        if !pipeline.needles().iter().all(|n| memmem::find(&entry.line, n).is_some()) {
            return false;
        }
        let one = StreamEntries { labels: labels.clone(), entries: vec![entry.clone()] };
        !pipeline.run(work, &one).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn selects(query: &str, line: &'static str) -> bool {
        let selection = Selection::parse(query).unwrap();
        let labels = Labels::from_pairs([("app", "x")]);
        let line = Bytes::from_static(line.as_bytes());
        let entry = LogEntry { timestamp_ns: 0, line, metadata: Labels::empty() };
        selection.selects_stream(&labels)
            && selection.selects(&mut Work::default(), &labels, &entry)
    }

    #[test]
    fn streams_and_lines_are_selected_as_the_query_says() {
        assert!(selects(r#"{app="x"}"#, "anything"));
        assert!(!selects(r#"{app="y"}"#, "anything"));
        assert!(selects(r#"{app="x"} |= "user=7" | logfmt | user="7""#, "a=b user=7"));
        assert!(!selects(r#"{app="x"} |= "user=7""#, "user=8"));
        assert!(!selects(r#"{app="x"} | logfmt | user="7""#, "user=8"));
    }

    #[test]
    fn what_is_no_log_query_is_refused() {
        let distinct = r#"{app="x"} | distinct app"#;
        for bad in [r#"rate({app="x"}[1m])"#, "{", "{}", r#"{app=~".*"}"#, distinct] {
            assert!(Selection::parse(bad).is_err(), "{bad}");
        }
    }
}
