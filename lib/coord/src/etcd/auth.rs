//! Who asks: a token that etcd gives for a user and a password, and gives again when it has expired.

use parking_lot::Mutex;
use skald_proto::public::etcd::AuthenticateRequest;
use skald_proto::public::etcd::auth_client::AuthClient;
use skald_runtime::Secret;
use tonic::Code;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;

use crate::etcd::fault::{Fault, FaultKind};

/// Longest token that is believed; what is longer would not fit into a header.
const MAX_TOKEN: usize = 8 << 10;

pub(super) struct Auth {
    name: String,
    password: Secret,
    /// The newest, if one was asked for yet.
    newest: Mutex<Option<Credentials>>,
    /// Held while asking: etcd makes a token slow to get on purpose.
    asking: tokio::sync::Mutex<()>,
}

/// What goes with each request: nothing, or a token.
#[derive(Clone, PartialEq)]
pub(super) struct Credentials(Option<AsciiMetadataValue>);

// === impl Auth ===

impl Auth {
    /// An empty name asks for nothing.
    pub(super) fn new(name: String, password: Secret) -> Self {
        let nobody = name.is_empty().then_some(Credentials(None));
        Self { name, password, newest: Mutex::new(nobody), asking: tokio::sync::Mutex::default() }
    }

    pub(super) fn is_on(&self) -> bool {
        !self.name.is_empty()
    }

    /// Credentials other than the `refused` ones, asked for if there are none. Cancel-safe.
    pub(super) async fn credentials(
        &self,
        channel: &Channel,
        refused: Option<&Credentials>,
    ) -> Result<Credentials, Fault> {
        let known = || self.newest.lock().clone().filter(|c| Some(c) != refused);
        if let Some(known) = known() {
            return Ok(known);
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        let fresh = self.ask(channel.clone()).await?;
        *self.newest.lock() = Some(fresh.clone());
        Ok(fresh)
    }

    async fn ask(&self, channel: Channel) -> Result<Credentials, Fault> {
        let password = self.password.expose().to_owned();
        let request = AuthenticateRequest { name: self.name.clone(), password };
        let answer = AuthClient::new(channel).authenticate(request).await.map_err(Fault::from);
        let token = match answer {
            Ok(answer) => answer.into_inner().token,
            // A user may be configured before etcd is told to check users.
            Err(f) if f.code == Code::FailedPrecondition && f.says("not enabled") => {
                return Ok(Credentials(None));
            }
            Err(fault) => return Err(fault.before_sending()),
        };
        let nonsense = || Fault::new(FaultKind::Nonsense, "an unusable token");
        if token.len() > MAX_TOKEN {
            return Err(nonsense());
        }
        let mut value = AsciiMetadataValue::try_from(token).map_err(|_| nonsense())?;
        value.set_sensitive(true);
        Ok(Credentials(Some(value)))
    }
}

// === impl Credentials ===

impl Credentials {
    pub(super) fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        if let Some(token) = &self.0 {
            metadata.insert("token", token.clone());
        }
        metadata
    }
}
