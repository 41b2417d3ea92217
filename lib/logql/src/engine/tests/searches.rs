//! Log queries that look for a text.

use super::*;

/// Says how many lines it would look at.
#[derive(Debug)]
struct Foretelling(Memory, usize);

#[async_trait]
impl EntrySource for Foretelling {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        self.0.select(req).await
    }

    async fn lines_to_search(&self, req: &SelectEntries) -> Result<Option<usize>, SourceError> {
        assert!(!req.needles.is_empty());
        Ok(Some(self.1))
    }
}

#[tokio::test]
async fn few_lines_are_searched_at_once_and_many_from_the_asked_end() {
    let lines: Vec<(i64, String)> = (0..500).map(|i| (i, format!("line {i} text"))).collect();
    let lines: Vec<(i64, &str)> = lines.iter().map(|(i, line)| (*i, line.as_str())).collect();
    for (query, n, once) in [
        (r#"{app="a"} |= "7 text""#, 1000, true),
        (r#"{app="a"} |= "7 text" |~ "1.*text" "#, 1000, true),
        (r#"{app="a"} |= "7 text""#, 1 << 30, false),
        (r#"{app="a"} != "7 text""#, 0, false),
        (r#"{app="a"} |= "7 text" | distinct app"#, 0, false),
    ] {
        let source = Foretelling(one(&lines), n);
        for direction in [Direction::Forward, Direction::Backward] {
            source.0.asked.lock().clear();
            let params = RangeParams {
                start_ns: T0 - 77,
                end_ns: T0 + 7_000 * S + 13,
                ..range_params(query, direction, 20)
            };
            let out = Engine::default().query_range(&source, &params).await.unwrap();
            let expected = Engine::default().query_range(&source.0, &params).await.unwrap();
            assert_eq!(format!("{:?}", out.value), format!("{:?}", expected.value));
            let asked = source.0.asked.lock();
            let whole = TimeRange::new(params.start_ns, params.end_ns);
            assert_eq!(asked.first() == Some(&whole), once, "{query}");
        }
    }
}
