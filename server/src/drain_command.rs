//! `skald drain`: takes a partition out of service and waits until all it had is in the object store.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Largest answer that is read.
const MAX_ANSWER: usize = 16 << 20;
const POLL: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Others look at the cluster at least this often; so long the drained ingesters must still answer readers.
const LOOKS: Duration = Duration::from_secs(15);

/// What to drain, and where to ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drain {
    /// HTTP address of any process of the cluster.
    pub(crate) url: String,
    /// The partition of the ingester at `url`, if not given.
    pub(crate) partition: Option<u32>,
    /// Takes back a drain that has not ended.
    pub(crate) undo: bool,
}

/// Why a partition was not drained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrainCommandError {
    #[error("{url} is not an http address")]
    Url { url: String, source: http::uri::InvalidUri },
    #[error("{url}: {message}")]
    Call { url: String, message: String },
    #[error("{0}")]
    Refused(String),
    #[error("start the runtime")]
    Runtime(#[from] std::io::Error),
}

/// Drains and waits; prints what happens.
pub(crate) fn run(what: &Drain) -> Result<(), DrainCommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let caller = Caller::new(&what.url)?;
        let path = match what.partition {
            Some(n) => format!("/drain?partition={n}"),
            None => "/drain".to_owned(),
        };
        let method = if what.undo { Method::DELETE } else { Method::POST };
        let answer = caller.call(method, &path).await?;
        let n = answer["partition"].as_u64().unwrap_or_default();
        let mut state = answer["state"].as_str().unwrap_or_default().to_owned();
        crate::print(&format!("partition {n} is {state}\n"));
        if what.undo {
            return Ok(());
        }
        while state != "removed" {
            tokio::time::sleep(POLL).await;
            let cluster = caller.call(Method::GET, "/cluster").await?;
            let partitions = cluster["partitions"].as_array().cloned().unwrap_or_default();
            let now = partitions.iter().find(|p| p["partition"].as_u64() == Some(n));
            let now = now.and_then(|p| p["state"].as_str()).unwrap_or_default().to_owned();
            if now == "active" || now.is_empty() {
                let message = format!("the drain of partition {n} was taken back by somebody else");
                return Err(DrainCommandError::Refused(message));
            }
            if now != state {
                crate::print(&format!("partition {n} is {now}\n"));
                state = now;
            }
        }
        tokio::time::sleep(LOOKS).await;
        crate::print(&format!(
            "all data of partition {n} is in the object store; its ingesters may be stopped\n"
        ));
        Ok(())
    })
}

/// A small HTTP client for one process.
struct Caller {
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Caller {
    fn new(url: &str) -> Result<Self, DrainCommandError> {
        let base = url.trim_end_matches('/').to_owned();
        let bad = |source| DrainCommandError::Url { url: url.to_owned(), source };
        let _: Uri = base.parse().map_err(bad)?;
        Ok(Self { base, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    async fn call(&self, method: Method, path: &str) -> Result<Value, DrainCommandError> {
        let url = format!("{}{path}", self.base);
        let failed = |message: String| DrainCommandError::Call { url: url.clone(), message };
        let request = Request::builder().method(method).uri(&url).body(Empty::new());
        let request = request.map_err(|e| failed(e.to_string()))?;
        let answered = async {
            let response = self.client.request(request).await.map_err(|e| e.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            Ok::<_, String>((status, body.map_err(|e| e.to_string())?.to_bytes()))
        };
        let answered = tokio::time::timeout(CALL_TIMEOUT, answered).await;
        let (status, body) =
            answered.map_err(|_| failed("no answer in 30s".to_owned()))?.map_err(&failed)?;
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            return Err(DrainCommandError::Refused(match status {
                StatusCode::NOT_FOUND if text.is_empty() || text.starts_with("404") => {
                    format!("{} is not a member of a cluster on etcd", self.base)
                }
                _ => text,
            }));
        }
        serde_json::from_slice(&body).map_err(|e| failed(e.to_string()))
    }
}
