//! A JSON document a line, with parameters that say which fields are what, as VictoriaLogs has them:
//! `_time_field`, `_msg_field`, `_stream_fields`, `ignore_fields`, `extra_fields`, or headers
//! `VL-Time-Field` and so on.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::extract::Query;
use http::request::Parts;

use crate::document::{Intake, Shape, field_name};
use crate::remote_write::{Context, Decoded};

/// Names in one parameter.
const MAX_NAMES: usize = 128;

/// Decodes a decompressed body.
pub(crate) fn decode_lines(ctx: &Context, shape: Shape, body: &[u8]) -> Decoded {
    let mut intake = Intake::new(ctx, body, Shape::of(&ctx.limits).with(shape));
    for line in body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()) {
        // A document that is refused is counted with its reason.
        let _ = intake.document(line);
    }
    intake.finish()
}

/// What parameters and headers say; parameters win.
pub(crate) fn shape_of(head: &Parts) -> Result<Shape, String> {
    let query = Query::<HashMap<String, String>>::try_from_uri(&head.uri);
    let Query(query) = query.map_err(|e| e.to_string())?;
    let get = |parameter: &str, header: &str| {
        let header = || head.headers.get(header).and_then(|v| v.to_str().ok()).map(str::to_owned);
        query.get(parameter).cloned().or_else(header).unwrap_or_default()
    };
    let list = |parameter: &str, header: &str| {
        let names = get(parameter, header);
        let names = names.split(',').map(str::trim).filter(|n| !n.is_empty());
        let names: Vec<String> =
            names.take(MAX_NAMES + 1).map(|n| field_name(Cow::Borrowed(n)).into_owned()).collect();
        if names.len() > MAX_NAMES {
            return Err(format!("{parameter} has more than {MAX_NAMES} names"));
        }
        Ok(names)
    };
    let mut extra = Vec::new();
    for pair in get("extra_fields", "vl-extra-fields").split(',').filter(|p| !p.trim().is_empty()) {
        let pair = pair.split_once('=').ok_or("extra_fields are written name=value,name=value")?;
        if extra.len() == MAX_NAMES {
            return Err(format!("extra_fields has more than {MAX_NAMES} names"));
        }
        extra.push((field_name(Cow::Borrowed(pair.0.trim())).into_owned(), pair.1.to_owned()));
    }
    Ok(Shape {
        time: list("_time_field", "vl-time-field")?,
        message: list("_msg_field", "vl-msg-field")?,
        stream: list("_stream_fields", "vl-stream-fields")?,
        ignore: list("ignore_fields", "vl-ignore-fields")?,
        extra,
    })
}
