//! Receives the data frames of a put or a part and checks them against the trailer.

use std::time::Duration;

use bytes::Bytes;
use skald_proto::storage as pb;
use tonic::{Status, Streaming};

use crate::error::Reason;
use crate::wire::FRAME_BYTES;

/// What may follow the header.
pub(super) enum Frame {
    Data(Bytes),
    Trailer(pb::Trailer),
    Unexpected,
}

/// A stream of data frames closed by a trailer.
pub(super) struct Frames<T> {
    stream: Streaming<T>,
    max_bytes: u64,
    timeout: Duration,
    size: u64,
    crc: u32,
}

impl From<pb::PutRequest> for Frame {
    fn from(message: pb::PutRequest) -> Self {
        match message.part {
            Some(pb::put_request::Part::Data(data)) => Self::Data(data),
            Some(pb::put_request::Part::Trailer(trailer)) => Self::Trailer(trailer),
            _ => Self::Unexpected,
        }
    }
}

impl From<pb::PutPartRequest> for Frame {
    fn from(message: pb::PutPartRequest) -> Self {
        match message.part {
            Some(pb::put_part_request::Part::Data(data)) => Self::Data(data),
            Some(pb::put_part_request::Part::Trailer(trailer)) => Self::Trailer(trailer),
            _ => Self::Unexpected,
        }
    }
}

impl<T: Into<Frame>> Frames<T> {
    pub(super) fn new(stream: Streaming<T>, max_bytes: u64, timeout: Duration) -> Self {
        Self { stream, max_bytes, timeout, size: 0, crc: 0 }
    }

    /// The first message, which must be the header.
    pub(super) async fn first(&mut self) -> Result<T, Status> {
        self.message().await
    }

    /// The next bytes; `None` once the trailer has come and is right.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        match self.message().await?.into() {
            Frame::Data(data) => {
                if data.len() > FRAME_BYTES {
                    return Err(Status::invalid_argument("a data frame of more than 1 MiB"));
                }
                self.size += u64::try_from(data.len()).unwrap_or(u64::MAX);
                if self.size > self.max_bytes {
                    let why = format!("an object of more than {} bytes", self.max_bytes);
                    return Err(Reason::Quota.into_status(why));
                }
                self.crc = crc32c::crc32c_append(self.crc, &data);
                Ok(Some(data))
            }
            Frame::Trailer(trailer) if trailer.size != self.size => {
                let why = format!("received {} bytes of {}", self.size, trailer.size);
                Err(Reason::Corrupt.into_status(why))
            }
            Frame::Trailer(trailer) if trailer.crc32c != self.crc => {
                Err(Reason::Corrupt.into_status("the bytes do not match their crc32c"))
            }
            Frame::Trailer(_) => Ok(None),
            Frame::Unexpected => Err(Status::invalid_argument("expected data or the trailer")),
        }
    }

    /// Size and crc32c of what came.
    pub(super) fn received(&self) -> (u64, u32) {
        (self.size, self.crc)
    }

    async fn message(&mut self) -> Result<T, Status> {
        match tokio::time::timeout(self.timeout, self.stream.message()).await {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(Status::cancelled("the stream ended before the trailer")),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::deadline_exceeded("no frame for too long")),
        }
    }
}
