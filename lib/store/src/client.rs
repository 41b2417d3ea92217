//! An `ObjectStore` that speaks `skald.storage.v1` to a plugin.
//!
//! Each call has a deadline. A call is sent again only when it is idempotent and the plugin said that
//! nothing was done ([`Reason::Throttled`](crate::Reason)) or could not be reached. A conditional put
//! and the completion of an upload are never repeated here: the caller resolves them by reading.

mod object;
mod upload;

use std::fmt;
use std::time::Duration;

use object_store::Result;
use skald_proto::storage::object_storage_client::ObjectStorageClient;
use skald_proto::storage::{Capabilities, GetCapabilitiesRequest};
use skald_runtime::Rng;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::{from_status, is_retryable, other, timed_out};
use crate::open::OpenError;
use crate::options::GrpcOptions;
use crate::wire::{MESSAGE_BYTES, PROTOCOL};

type Client = ObjectStorageClient<InterceptedService<Channel, Bearer>>;

/// A plugin at the other end of a gRPC channel. Clones share the channel.
#[derive(Clone)]
pub struct GrpcStore {
    authority: String,
    client: Client,
    options: GrpcOptions,
    rng: Rng,
}

/// Whether a call that was refused may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Allowed,
    Never,
}

/// Adds the bearer token.
#[derive(Clone, Default)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

// === impl GrpcStore ===

impl GrpcStore {
    /// A store that connects to `authority` (`host:port`) when first used, and again after a broken connection.
    pub fn connect_lazy(authority: &str, options: &GrpcOptions) -> Result<Self, OpenError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(OpenError::NoRuntime);
        }
        let bearer = bearer(options)?;
        let bad = || OpenError::BadUrl {
            url: format!("grpc://{authority}"),
            reason: "want grpc://host:port",
        };
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|_| bad())?;
        let channel = endpoint
            .connect_timeout(options.connect_timeout.0)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .connect_lazy();
        let client = ObjectStorageClient::with_interceptor(channel, bearer)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let options = options.clone();
        Ok(Self { authority: authority.to_owned(), client, options, rng: Rng::from_entropy() })
    }

    /// What the plugin says it can do; fails when it speaks another version of the protocol.
    pub async fn capabilities(&self) -> Result<Capabilities> {
        let time = self.options.request_timeout.0;
        let caps = self
            .call("", Repeat::Allowed, time, |mut client| async move {
                let request = GetCapabilitiesRequest { client_protocol: PROTOCOL };
                client
                    .get_capabilities(with_deadline(request, time))
                    .await
                    .map(Response::into_inner)
            })
            .await?;
        if !(caps.min_protocol..=caps.max_protocol).contains(&PROTOCOL) {
            let (min, max) = (caps.min_protocol, caps.max_protocol);
            return Err(other(format!(
                "the plugin speaks protocol {min} to {max}, not {PROTOCOL}"
            )));
        }
        Ok(caps)
    }

    /// Makes a call with a deadline, and again where that is allowed and sensible.
    async fn call<T, F, Fut>(&self, key: &str, repeat: Repeat, time: Duration, call: F) -> Result<T>
    where
        F: Fn(Client) -> Fut + Send,
        Fut: Future<Output = Result<T, Status>> + Send,
    {
        let mut attempt = 0;
        loop {
            let status = match tokio::time::timeout(time, call(self.client.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => return Err(timed_out(format!("no answer within {time:?}"))),
            };
            let again = repeat == Repeat::Allowed && is_retryable(&status);
            if !again || attempt >= self.options.max_retries {
                return Err(from_status(&status, key));
            }
            attempt += 1;
            // 50, 100, 200 … 1600 ms, each with up to half as much jitter.
            let base = 50u64 << (attempt - 1).min(5);
            let wait = base + self.rng.below(base / 2);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }
}

fn bearer(options: &GrpcOptions) -> Result<Bearer, OpenError> {
    let token = if options.token_file.is_empty() {
        options.token.expose().to_owned()
    } else {
        std::fs::read_to_string(&options.token_file)
            .map_err(|source| OpenError::TokenFile { path: options.token_file.clone(), source })?
            .trim()
            .to_owned()
    };
    if token.is_empty() {
        return Ok(Bearer(None));
    }
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().map_err(|_| OpenError::BadToken)?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

/// Tells the server the deadline too.
fn with_deadline<T>(message: T, time: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

impl fmt::Debug for GrpcStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcStore").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl fmt::Display for GrpcStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc://{}", self.authority)
    }
}
