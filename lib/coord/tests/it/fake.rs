//! An etcd that does as it is told, to see what the store makes of it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use skald_proto::public::etcd::auth_server::{Auth, AuthServer};
use skald_proto::public::etcd::kv_server::{Kv, KvServer};
use skald_proto::public::etcd::lease_server::{Lease, LeaseServer};
use skald_proto::public::etcd::watch_server::{Watch, WatchServer};
use skald_proto::public::etcd::{
    AuthenticateRequest, AuthenticateResponse, Event, LeaseGrantRequest, LeaseGrantResponse,
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse, WatchRequest,
    WatchResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// What is answered to reads and writes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Say {
    #[default]
    Yes,
    Nothing,
    Error(Status),
    Read(RangeResponse),
}

/// What becomes of a watch after it was created.
#[derive(Clone, Debug, Default)]
pub(crate) enum Watched {
    #[default]
    Event,
    Cut,
    Compacted,
}

/// What the fake does and what was asked of it.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) say: Mutex<Say>,
    pub(crate) watched: Mutex<Watched>,
    /// The time that an answer to a keep-alive gives.
    pub(crate) ttl: Mutex<i64>,
    /// Whether users are checked: how many tokens of those given are worth nothing.
    pub(crate) refused_tokens: Mutex<Option<usize>>,
    pub(crate) n_reads: AtomicUsize,
    pub(crate) n_writes: AtomicUsize,
    pub(crate) n_watches: AtomicUsize,
    pub(crate) n_tokens: AtomicUsize,
}

#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Script>,
}

// === impl Fake ===

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::serve(Server::builder()).await
    }

    pub(crate) async fn start_tls(tls: ServerTlsConfig) -> Self {
        Self::serve(Server::builder().tls_config(tls).unwrap()).await
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn serve(mut server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Self { address, script: Arc::default() };
        let serving = server
            .add_service(KvServer::new(fake.clone()))
            .add_service(WatchServer::new(fake.clone()))
            .add_service(LeaseServer::new(fake.clone()))
            .add_service(AuthServer::new(fake.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        skald_runtime::spawn("fake", serving);
        fake
    }

    /// Refuses requests without the right token, if users are checked.
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let Some(refused) = *self.script.refused_tokens.lock() else { return Ok(()) };
        let token = request.metadata().get("token").map(|t| t.to_str().unwrap().to_owned());
        match token.and_then(|t| t.parse::<usize>().ok()) {
            Some(n) if n > refused => Ok(()),
            Some(_) => Err(Status::unauthenticated("etcdserver: invalid auth token")),
            None => Err(Status::invalid_argument("etcdserver: user name is empty")),
        }
    }

    async fn answer<T>(&self, yes: T) -> Result<Response<T>, Status> {
        let say = self.script.say.lock().clone();
        match say {
            Say::Nothing => std::future::pending().await,
            Say::Error(status) => Err(status),
            Say::Yes | Say::Read(_) => Ok(Response::new(yes)),
        }
    }
}

pub(crate) fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { revision: 5 })
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Kv for Fake {
    async fn range(&self, r: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        self.script.n_reads.fetch_add(1, Ordering::SeqCst);
        self.check(&r)?;
        let read = match &*self.script.say.lock() {
            Say::Read(read) => read.clone(),
            _ => RangeResponse { header: header(), ..RangeResponse::default() },
        };
        self.answer(read).await
    }

    async fn txn(&self, r: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.script.n_writes.fetch_add(1, Ordering::SeqCst);
        self.check(&r)?;
        self.answer(TxnResponse { header: header(), succeeded: true }).await
    }
}

#[tonic::async_trait]
impl Watch for Fake {
    type WatchStream = Answers<WatchResponse>;

    async fn watch(
        &self,
        r: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.script.n_watches.fetch_add(1, Ordering::SeqCst);
        let leader = r.metadata().get("hasleader").map(|v| v.as_bytes().to_vec());
        assert_eq!(leader.as_deref(), Some(b"true".as_slice()));
        let mut requests = r.into_inner();
        let asked = requests.message().await?;
        assert!(asked.is_some_and(|a| a.kind.is_some()));
        let told = |created, events, canceled| WatchResponse {
            header: header(),
            created,
            canceled,
            compact_revision: i64::from(canceled),
            events,
            ..WatchResponse::default()
        };
        let created = told(true, Vec::new(), false);
        let progress = told(false, Vec::new(), false);
        let event = told(false, vec![Event::default()], false);
        let stream = match &*self.script.watched.lock() {
            Watched::Event => {
                stream::iter([created, progress, event]).chain(stream::pending()).boxed()
            }
            Watched::Cut => stream::iter([created, progress]).boxed(),
            Watched::Compacted => {
                let canceled = told(false, Vec::new(), true);
                stream::iter([created, canceled]).chain(stream::pending()).boxed()
            }
        };
        // The requests stay open as long as the answers.
        let stream = stream.map(move |told| {
            let _open = &requests;
            Ok(told)
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

#[tonic::async_trait]
impl Lease for Fake {
    type LeaseKeepAliveStream = Answers<LeaseKeepAliveResponse>;

    async fn lease_grant(
        &self,
        r: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let ttl_seconds = r.into_inner().ttl_seconds;
        let error = String::new();
        self.answer(LeaseGrantResponse { id: 7, ttl_seconds, error }).await
    }

    async fn lease_revoke(
        &self,
        _: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.answer(LeaseRevokeResponse {}).await
    }

    async fn lease_keep_alive(
        &self,
        r: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let ttl_seconds = *self.script.ttl.lock();
        let kept = move |r: Result<LeaseKeepAliveRequest, Status>| {
            r.map(|r| LeaseKeepAliveResponse { id: r.id, ttl_seconds })
        };
        let answers: Self::LeaseKeepAliveStream = Box::pin(r.into_inner().map(kept));
        self.answer(answers).await
    }
}

#[tonic::async_trait]
impl Auth for Fake {
    async fn authenticate(
        &self,
        r: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        if self.script.refused_tokens.lock().is_none() {
            let text = "etcdserver: authentication is not enabled";
            return Err(Status::failed_precondition(text));
        }
        if r.into_inner().password != "hunter2" {
            let text = "etcdserver: authentication failed, invalid user ID or password";
            return Err(Status::invalid_argument(text));
        }
        let n = self.script.n_tokens.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Response::new(AuthenticateResponse { token: n.to_string() }))
    }
}

/// A port where nobody listens.
pub(crate) async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A port where connections are made and never answered; counts them.
pub(crate) async fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let n_made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_made);
    skald_runtime::spawn("silent", async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            open.push(connection);
        }
    });
    (endpoint, n_made)
}
