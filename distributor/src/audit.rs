//! The webhook of Kubernetes' API server for audit events: an `EventList`, or one `Event`.
//!
//! An event is a line, whole; what is often asked for is structured metadata too. The time is that of
//! the stage, so that an event that is sent again is stored once.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::document::{Intake, Shape};
use crate::json::each;
use crate::loki::{Pairs, SERVICE_NAME};
use crate::rejects::ids;
use crate::remote_write::{Context, Decoded};
use crate::time;

const SERVICE: &str = "kube-apiserver-audit";

/// Decodes a decompressed body.
pub(crate) fn decode_audit(ctx: &Context, body: &[u8]) -> Result<Decoded, serde_json::Error> {
    let list: List<'_> = serde_json::from_slice(body)?;
    let mut intake = Intake::new(ctx, body, Shape::default());
    match list.kind.as_ref() {
        _ if list.items.is_some() => each(list.items, |item| {
            read(&mut intake, item);
            Ok(())
        })?,
        "Event" => read(&mut intake, serde_json::from_slice(body)?),
        kind => {
            let why = format!("kind {kind:.40?} is neither EventList nor Event");
            return Err(serde::de::Error::custom(why));
        }
    }
    Ok(intake.finish())
}

fn read<'a>(intake: &mut Intake<'a>, item: &'a RawValue) {
    match serde_json::from_str::<Event<'_>>(item.get()) {
        Ok(event) => {
            // What is refused is counted with its reason.
            let _ = add(intake, &event, item.get());
        }
        Err(e) => {
            intake.refuse(ids::BAD_DOCUMENT, || format!("event cannot be read: {e}"));
        }
    }
}

fn add<'a>(intake: &mut Intake<'a>, event: &Event<'a>, item: &str) -> Result<(), &'static str> {
    let stage = event.stage_timestamp.as_deref().or(event.request_received_timestamp.as_deref());
    let ts = match stage {
        None => intake.undated(),
        Some(text) => match time::parse(text) {
            Some(ts) => ts,
            None => {
                return Err(intake
                    .refuse(ids::BAD_TIME, || format!("stageTimestamp is no time: {text:.60?}")));
            }
        },
    };
    let labels = vec![(Cow::Borrowed(SERVICE_NAME), Cow::Borrowed(SERVICE))];
    let line = compact(item);
    let mut metadata = event.metadata();
    if intake.wants_level() {
        metadata.push((Cow::Borrowed("detected_level"), Cow::Borrowed(event.detected_level())));
    }
    intake.entry(labels, metadata, ts, line.as_bytes())
}

/// On one line: the API server writes it so, but others may not.
fn compact(item: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', item.as_bytes()).is_none() {
        return Cow::Borrowed(item);
    }
    let value = serde_json::from_str::<serde_json::Value>(item);
    value.map_or(Cow::Borrowed(item), |v| Cow::Owned(v.to_string()))
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "auditID", borrow)]
    audit_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stage: Option<Cow<'a, str>>,
    #[serde(borrow)]
    level: Option<Cow<'a, str>>,
    #[serde(borrow)]
    verb: Option<Cow<'a, str>>,
    #[serde(rename = "requestURI", borrow)]
    request_uri: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user: Option<User<'a>>,
    #[serde(borrow)]
    object_ref: Option<ObjectRef<'a>>,
    response_status: Option<ResponseStatus>,
    #[serde(borrow)]
    stage_timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request_received_timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ObjectRef<'a> {
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<i64>,
}

// === impl Event ===

impl<'a> Event<'a> {
    /// By how the request ended: the line has no level of its own.
    fn detected_level(&self) -> &'static str {
        match self.response_status.as_ref().and_then(|s| s.code).unwrap_or(0) {
            500.. => "error",
            400.. => "warn",
            _ => "info",
        }
    }

    fn metadata(&self) -> Pairs<'a> {
        let object = self.object_ref.as_ref();
        let code = self.response_status.as_ref().and_then(|s| s.code).filter(|c| *c != 0);
        let pairs = [
            ("audit_id", self.audit_id.clone()),
            ("stage", self.stage.clone()),
            // Not `level`: that is how much is audited, no severity.
            ("audit_level", self.level.clone()),
            ("verb", self.verb.clone()),
            ("request_uri", self.request_uri.clone()),
            ("user", self.user.as_ref().and_then(|u| u.username.clone())),
            ("resource", object.and_then(|o| o.resource.clone())),
            ("namespace", object.and_then(|o| o.namespace.clone())),
            ("name", object.and_then(|o| o.name.clone())),
            ("code", code.map(|c| Cow::Owned(c.to_string()))),
        ];
        let named = |(name, value): (&'static str, Option<Cow<'a, str>>)| {
            Some((Cow::Borrowed(name), value?))
        };
        pairs.into_iter().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use skald_limits::Limits;

    use crate::testing::{Cluster, NOW_NS};

    const STREAM: &str = r#"{service_name="kube-apiserver-audit"}"#;

    #[tokio::test]
    async fn events_are_lines_with_what_is_asked_for_often() {
        let cluster = Cluster::one(Limits::default());
        let event = r#"{"level":"Metadata","auditID":"a1","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/x/pods","verb":"create","user":{"username":"eve","groups":["g"]},"objectRef":{"resource":"pods","namespace":"x","name":"p"},"responseStatus":{"metadata":{},"code":403},"requestReceivedTimestamp":"2026-01-01T00:00:00.000001Z","stageTimestamp":"2026-01-01T00:00:00.000002Z"}"#;
        let list = format!(
            r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{event},{{"stageTimestamp":"x"}},7]}}"#
        );
        let answer = cluster.post("/k8s/audit", &[], list.into_bytes()).await;
        assert_eq!(answer.status, 200, "the server need not send it again: {}", answer.text);
        assert!(answer.text.contains("err-skald-document-time-invalid"), "{}", answer.text);
        {
            let data = cluster.data();
            let [line] = data.lines[STREAM].as_slice() else { panic!("{:?}", data.lines) };
            assert_eq!((line.ts - NOW_NS, line.line.as_str()), (2000, event));
            let want = "{audit_id=\"a1\", audit_level=\"Metadata\", code=\"403\", \
                        detected_level=\"warn\", name=\"p\", namespace=\"x\", \
                        request_uri=\"/api/v1/namespaces/x/pods\", resource=\"pods\", \
                        stage=\"ResponseComplete\", user=\"eve\", verb=\"create\"}";
            assert_eq!(line.metadata, want);
        }
        // One event alone, and not on one line.
        let pretty = "{\"kind\":\"Event\",\n \"auditID\":\"b\"}";
        let answer = cluster.post("/k8s/audit", &[], pretty.into()).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        assert_eq!(cluster.data().lines[STREAM][1].line, r#"{"kind":"Event","auditID":"b"}"#);
        for bad in ["", "{}", "[]", "{\"kind\":\"Pod\"}", &"[".repeat(100_000)] {
            let answer = cluster.post("/k8s/audit", &[], bad.into()).await;
            assert_eq!(answer.status, 400, "{bad:.20}");
        }
    }
}
