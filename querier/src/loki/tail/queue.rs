//! Frames that wait for the reader of a tail, bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::{Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::mpsc;

/// Bytes that wait at most; a frame alone may be larger.
const MAX_BYTES: usize = 8 << 20;

/// The end at which frames go in. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    frames: mpsc::Sender<Message>,
    bytes: Arc<AtomicUsize>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Waiting {
    frames: mpsc::Receiver<Message>,
    bytes: Arc<AtomicUsize>,
}

/// A queue for so many frames.
pub(super) fn queue(n_frames: usize) -> (Queue, Waiting) {
    let (sender, receiver) = mpsc::channel(n_frames);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Queue { frames: sender, bytes: Arc::clone(&bytes) }, Waiting { frames: receiver, bytes })
}

// === impl Queue ===

impl Queue {
    /// Puts a frame in; `false` when there is no room for it.
    pub(super) fn put(&self, frame: Message) -> bool {
        let size = size(&frame);
        let waiting = self.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(size) > MAX_BYTES {
            return false;
        }
        // Counted first: the other end may take it at once.
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let sent = self.frames.try_send(frame).is_ok();
        if !sent {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        sent
    }

    /// Resolves when nobody takes frames any more.
    pub(super) async fn closed(&self) {
        self.frames.closed().await;
    }
}

// === impl Waiting ===

impl Waiting {
    /// Sends frames to the socket until the last, or until it is gone.
    pub(super) async fn write(mut self, mut sink: SplitSink<WebSocket, Message>) {
        while let Some(message) = self.frames.recv().await {
            let (size, last) = (size(&message), matches!(message, Message::Close(_)));
            let sent = sink.send(message).await;
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            if sent.is_err() || last {
                return;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn take(&mut self) -> Option<Message> {
        let message = self.frames.try_recv().ok()?;
        self.bytes.fetch_sub(size(&message), Ordering::Relaxed);
        Some(message)
    }
}

fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.as_str().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_bytes_that_wait_are_bounded() {
        let (queue, mut waiting) = queue(2);
        let frame = |n: usize| Message::Text("x".repeat(n).into());
        assert!(queue.put(frame(MAX_BYTES + 1)), "one frame may be of any size");
        assert!(!queue.put(frame(1)));
        waiting.take().unwrap();
        assert!(queue.put(frame(1)) && queue.put(frame(1)));
        assert!(!queue.put(frame(1)), "two frames are enough");
        waiting.take().unwrap();
        assert!(queue.put(frame(MAX_BYTES - 1)));
        assert_eq!(queue.bytes.load(Ordering::Relaxed), MAX_BYTES);
    }
}
