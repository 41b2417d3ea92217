//! Bodies made piece by piece: the next piece is made when the client has taken the one before, so
//! an answer's text is never in memory as a whole, and a slow client holds no thread and, since the
//! query has left the queue by then, no place of another query.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::stream::{self, BoxStream, StreamExt};
use skald_runtime::CpuPool;

use crate::Error;
use crate::frontend::record::Running;

/// Writes the next piece, of about [`PIECE`] bytes; answers whether there are more.
pub(crate) type Next = Box<dyn FnMut(&mut Vec<u8>) -> Result<bool, Error> + Send>;

/// Pieces that are made one after the other, not all of them where they are asked for.
pub(crate) type Pieces = BoxStream<'static, Result<Vec<u8>, Error>>;

/// What is written before the client gets it.
pub(crate) const PIECE: usize = 64 << 10;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

/// Packs what is written to it.
#[derive(Debug)]
pub(super) enum Coder {
    Plain,
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

/// A body under way.
pub(super) struct Pump {
    pub(super) next: Next,
    pub(super) coder: Coder,
    pub(super) cpu: CpuPool,
}

// === impl Coding ===

impl Coding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

// === impl Coder ===

impl Coder {
    pub(super) fn new(coding: Option<Coding>) -> Self {
        match coding {
            None => Self::Plain,
            Some(Coding::Gzip) => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Some(Coding::Deflate) => {
                Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast()))
            }
        }
    }

    /// Takes a piece; what is ready so far is answered, all of it after the last piece.
    pub(super) fn put(&mut self, piece: Vec<u8>, more: bool) -> Result<Bytes, Error> {
        // Writing to a vector cannot fail.
        let failed = |e: std::io::Error| Error::Internal(e.to_string());
        let ready = match self {
            Self::Plain => piece,
            Self::Gzip(to) => {
                to.write_all(&piece).map_err(failed)?;
                if !more {
                    to.try_finish().map_err(failed)?;
                }
                std::mem::take(to.get_mut())
            }
            Self::Deflate(to) => {
                to.write_all(&piece).map_err(failed)?;
                if !more {
                    to.try_finish().map_err(failed)?;
                }
                std::mem::take(to.get_mut())
            }
        };
        Ok(ready.into())
    }
}

// === impl Pump ===

impl Pump {
    /// The body that begins with `first` and goes on with what is made piece by piece.
    pub(super) fn body(self, first: Bytes) -> Body {
        let first = stream::iter([Ok(first)]);
        let rest = stream::try_unfold(Some(self), |pump| async {
            match pump {
                Some(pump) => pump.step().await.map(Some),
                None => Ok(None),
            }
        });
        Body::from_stream(first.chain(rest))
    }

    async fn step(self) -> Result<(Bytes, Option<Self>), Error> {
        let Self { mut next, mut coder, cpu } = self;
        let work = move || loop {
            let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
            let more = next(&mut piece)?;
            let ready = coder.put(piece, more)?;
            // A packer may keep a piece to itself.
            if !more || !ready.is_empty() {
                return Ok((ready, more.then_some((next, coder))));
            }
        };
        let done: Result<_, Error> =
            cpu.run(work).await.map_err(|e| Error::Internal(e.to_string()))?;
        let (ready, rest) = done?;
        Ok((ready, rest.map(|(next, coder)| Self { next, coder, cpu })))
    }
}

/// A body of `pieces`; `running` ends with it, also where it breaks off.
pub(super) fn of_stream(
    pieces: Pieces,
    coder: Coder,
    cpu: CpuPool,
    running: Option<Running>,
) -> Body {
    let flow = Flow { pieces, coder, cpu, running };
    Body::from_stream(stream::try_unfold(Some(flow), |flow| async {
        let Some(mut flow) = flow else { return Ok(None) };
        let step = flow.step().await;
        if !matches!(step, Ok((_, true)))
            && let Some(running) = flow.running.take()
        {
            running.end(step.as_ref().err());
        }
        step.map(|(ready, more)| Some((ready, more.then_some(flow))))
    }))
}

/// A streamed body under way.
struct Flow {
    pieces: Pieces,
    coder: Coder,
    cpu: CpuPool,
    running: Option<Running>,
}

// === impl Flow ===

impl Flow {
    /// The next bytes that are ready, and whether there may be more.
    async fn step(&mut self) -> Result<(Bytes, bool), Error> {
        loop {
            let piece = self.pieces.next().await.transpose()?;
            let more = piece.is_some();
            let ready = self.pack(piece.unwrap_or_default(), more).await?;
            if !ready.is_empty() || !more {
                return Ok((ready, more));
            }
        }
    }

    async fn pack(&mut self, piece: Vec<u8>, more: bool) -> Result<Bytes, Error> {
        if let Coder::Plain = self.coder {
            return Ok(piece.into());
        }
        let mut coder = std::mem::replace(&mut self.coder, Coder::Plain);
        let work = move || (coder.put(piece, more), coder);
        let done = self.cpu.run(work).await.map_err(|e| Error::Internal(e.to_string()))?;
        let (ready, coder) = done;
        self.coder = coder;
        ready
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    fn pump(n: usize, coding: Option<Coding>) -> Pump {
        let mut left = n;
        let next: Next = Box::new(move |out| {
            out.extend_from_slice(&[b'x'; 1000]);
            left -= 1;
            Ok(left > 0)
        });
        Pump { next, coder: Coder::new(coding), cpu: CpuPool::new(1) }
    }

    #[tokio::test]
    async fn pieces_arrive_whole_and_in_order_however_packed() {
        for coding in [None, Some(Coding::Gzip), Some(Coding::Deflate)] {
            let mut pump = pump(50, coding);
            let first = pump.coder.put(b"first".to_vec(), true).unwrap();
            let body = to_bytes(pump.body(first), usize::MAX).await.unwrap();
            let mut plain = Vec::new();
            let mut read = |r: &mut dyn std::io::Read| r.read_to_end(&mut plain).unwrap();
            match coding {
                None => read(&mut body.as_ref()),
                Some(Coding::Gzip) => read(&mut flate2::read::GzDecoder::new(body.as_ref())),
                Some(Coding::Deflate) => read(&mut flate2::read::ZlibDecoder::new(body.as_ref())),
            };
            assert_eq!(plain.len(), 50_005, "{coding:?}");
            assert!(plain.starts_with(b"firstx"), "{coding:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_under_way_breaks_the_body_off() {
        let mut pump = pump(50, None);
        pump.next = Box::new(|_| Err(Error::Internal("broken".to_owned())));
        assert!(to_bytes(pump.body(Bytes::from_static(b"first")), usize::MAX).await.is_err());
    }
}
