//! Another server to compare with, as a process: killed when dropped.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use crate::http::Client;
use crate::wait::until;

/// A process that answers HTTP.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    pub client: Client,
}

/// A port of the loopback that is free now; nobody else here takes ports at random.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

// === impl Peer ===

impl Peer {
    /// Starts `command`, which is told to listen on `address`, and waits until `ready` answers 2xx.
    pub async fn start(
        command: &mut Command,
        address: SocketAddr,
        ready: &str,
    ) -> std::io::Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let client = Client::new(format!("http://{address}"));
        let peer = Self { child, client };
        until("the peer is ready", || {
            let client = peer.client.clone();
            async move {
                let reply = client.try_send(http::Method::GET, ready, &[], bytes::Bytes::new());
                reply.await.ok().filter(|r| r.status.is_success())
            }
        })
        .await;
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
