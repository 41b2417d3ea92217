//! `_bulk`: a line that says what to do, and for most a line with the document.
//!
//! Documents are only ever added: `index` and `create` do, `update` and `delete` are refused one by one.

use std::sync::Arc;

use serde::Deserialize;

use crate::document::{Intake, Shape};
use crate::json::Text;
use crate::rejects::ids;
use crate::remote_write::{Context, Decoded};

/// Documents in one request; each costs about a hundred bytes of the answer.
const MAX_ITEMS: usize = 200_000;
/// Longest name of an index and id of a document, as Elasticsearch has it.
const MAX_NAME: usize = 512;

/// What was asked to be done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Index,
    Create,
    Update,
    Delete,
}

/// A document and what became of it when it was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) action: Action,
    pub(crate) index: Arc<str>,
    pub(crate) id: Option<Box<str>>,
    /// The error id, if it was refused.
    pub(crate) refused: Option<&'static str>,
}

#[derive(Deserialize)]
struct ActionLine<'a> {
    #[serde(borrow)]
    index: Option<Target<'a>>,
    #[serde(borrow)]
    create: Option<Target<'a>>,
    #[serde(borrow)]
    update: Option<Target<'a>>,
    #[serde(borrow)]
    delete: Option<Target<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target<'a> {
    #[serde(rename = "_index", borrow)]
    index: Option<Text<'a>>,
    #[serde(rename = "_id", borrow)]
    id: Option<Text<'a>>,
}

/// Decodes a decompressed body. `default_index` is the one in the path. `Err` says why the request
/// is none.
pub(crate) fn decode_bulk(
    ctx: &Context,
    default_index: &str,
    body: &[u8],
) -> Result<(Decoded, Vec<Item>), String> {
    let shape = Shape::of(&ctx.limits);
    let mut intake = Intake::new(ctx, body, shape);
    let mut items: Vec<Item> = Vec::new();
    let mut lines = Lines { rest: body, number: 0 };
    let mut last_index: Arc<str> = Arc::from(default_index);
    while let Some(line) = lines.next_filled() {
        if items.len() == MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} documents in one request"));
        }
        let number = lines.number;
        let (action, target) = action(line, number)?;
        let index = target.index.as_ref().map(|Text(i)| &**i);
        let index = index.filter(|i| !i.is_empty()).unwrap_or(default_index);
        if index.len() > MAX_NAME || target.id.as_ref().is_some_and(|Text(id)| id.len() > MAX_NAME)
        {
            return Err(format!("line {number}: _index or _id is longer than {MAX_NAME} bytes"));
        }
        if *last_index != *index {
            last_index = Arc::from(index);
        }
        let id = target.id.map(|Text(id)| id.into_owned().into_boxed_str());
        let mut item = Item { action, index: Arc::clone(&last_index), id, refused: None };
        if action == Action::Delete {
            item.refused = Some(refuse_change(&mut intake));
        } else {
            let missing = || format!("line {number}: its document is missing");
            let document = lines.next_line().ok_or_else(missing)?;
            item.refused = match action {
                Action::Update => Some(refuse_change(&mut intake)),
                _ => {
                    let field = Some(("_index", &*last_index));
                    intake.document_with(field, document).err()
                }
            };
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err("request body is required".to_owned());
    }
    Ok((intake.finish(), items))
}

fn action(line: &[u8], number: usize) -> Result<(Action, Target<'_>), String> {
    let bad = |why: String| format!("Malformed action/metadata line [{number}]: {why}");
    let line: ActionLine<'_> = serde_json::from_slice(line).map_err(|e| bad(e.to_string()))?;
    let all = [
        (Action::Index, line.index),
        (Action::Create, line.create),
        (Action::Update, line.update),
        (Action::Delete, line.delete),
    ];
    let mut said = all.into_iter().filter_map(|(action, target)| Some((action, target?)));
    let one = said.next().ok_or_else(|| bad("expected index, create, update or delete".into()))?;
    if said.next().is_some() {
        return Err(bad("expected one action".to_owned()));
    }
    Ok(one)
}

/// The lines of a body.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

// === impl Lines ===

impl<'a> Lines<'a> {
    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let (line, tail) = self.rest.split_at(end);
        self.rest = tail.get(1..).unwrap_or_default();
        Some(line.trim_ascii())
    }

    fn next_filled(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = self.next_line()?;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

// === impl Action ===

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Refuses to change what is stored.
fn refuse_change(intake: &mut Intake<'_>) -> &'static str {
    let why = "documents can be added (index, create) but not changed (update, delete)";
    intake.refuse(ids::BAD_ACTION, || why.to_owned())
}
