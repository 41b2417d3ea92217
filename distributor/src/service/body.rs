//! Reading and unpacking bodies within bounds: a cap on size, a share of the in-flight budget, a deadline.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use skald_codec::compress::{self, DecompressError};
use skald_runtime::budget::OverBudget;
use skald_runtime::{MemoryBudget, MemoryPermit};

use super::headers::Encoding;
use crate::buffer::{Buffer, Buffers};
use crate::config::Config;
use crate::refusal::Refusal;
use crate::rejects::ids;

/// What gzip and deflate can at most make of a byte.
const MAX_INFLATE: u64 = 1032;
/// And zstd: a block of 128 KiB of one byte takes four.
const MAX_UNZSTD: u64 = 32 << 10;

/// The whole body with a permit for its bytes.
pub(super) async fn read(
    config: &Config,
    budget: &MemoryBudget,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, MemoryPermit), Refusal> {
    let max = config.max_recv_msg_size.0;
    let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if let Some(n) = declared.filter(|n| *n > max) {
        return Err(too_long(n, max));
    }
    match tokio::time::timeout(config.body_timeout.0, collect(budget, max, body)).await {
        Ok(read) => read,
        Err(_) => {
            let id = ids::SLOW_BODY;
            let limit = config.body_timeout;
            let text = format!(
                "{id}: the body did not arrive within {limit} (setting distributor.body_timeout)"
            );
            // A slow network is no fault of the data: a 4xx would make the sender drop it.
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, id, text))
        }
    }
}

async fn collect(
    budget: &MemoryBudget,
    max: u64,
    mut body: Body,
) -> Result<(Bytes, MemoryPermit), Refusal> {
    let mut permit = budget.try_take(0).map_err(|e| over_budget(&e))?;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::malformed("the body ended early"))?;
        let Ok(data) = frame.into_data() else { continue };
        // Taken as bytes arrive: a declared length reserves nothing.
        permit.grow(data.len() as u64).map_err(|e| over_budget(&e))?;
        if permit.bytes() > max {
            return Err(too_long(permit.bytes(), max));
        }
        // A body in one frame is not copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
                first = Bytes::new();
            }
            all.extend_from_slice(&data);
        }
    }
    let body = if all.is_empty() { first } else { all.freeze() };
    Ok((body, permit))
}

/// Unpacks a snappy block of at most `max` bytes.
pub(super) fn snappy(
    body: &[u8],
    max: u64,
    setting: &str,
    permit: &mut MemoryPermit,
    buffers: &Arc<Buffers>,
) -> Result<Buffer, Refusal> {
    let len = grow_for_snappy(body, max, permit)?;
    let mut out = buffers.take(len);
    let unpacked = compress::snappy_over(body, size(max), &mut out);
    let n = *unpacked.as_ref().unwrap_or(&0);
    let out = Buffer::new(out, n, buffers);
    unpacked.map(|_| out).map_err(|e| undecodable(&e, setting))
}

/// Takes from the budget what a snappy block says it unpacks to, and answers it.
fn grow_for_snappy(body: &[u8], max: u64, permit: &mut MemoryPermit) -> Result<usize, Refusal> {
    let len =
        snap::raw::decompress_len(body).map_err(|_| Refusal::malformed("malformed snappy"))?;
    // Only what can be true is taken; a lie is refused when it is unpacked.
    if len as u64 <= max {
        permit.grow(len as u64).map_err(|e| over_budget(&e))?;
    }
    Ok(len)
}

const LOGS_SETTING: &str = "distributor.max_decoded_logs_size";

/// Unpacks the body of a Loki push in protobuf: a snappy block under whatever else the encoding says.
pub(super) fn unpack_loki_proto(
    body: Bytes,
    encoding: Encoding,
    max: u64,
    budget: &MemoryBudget,
    permit: &mut MemoryPermit,
    buffers: &Arc<Buffers>,
) -> Result<Buffer, Refusal> {
    let unpacked;
    let body = match encoding {
        Encoding::Snappy | Encoding::None => &body[..],
        _ => {
            unpacked = unpack(body, encoding, max, budget, permit)?;
            &unpacked
        }
    };
    snappy(body, max, LOGS_SETTING, permit, buffers)
}

/// Unpacks the body of a push of logs.
pub(super) fn unpack(
    body: Bytes,
    encoding: Encoding,
    max: u64,
    budget: &MemoryBudget,
    permit: &mut MemoryPermit,
) -> Result<Vec<u8>, Refusal> {
    let setting = LOGS_SETTING;
    let unpacked = match encoding {
        Encoding::Snappy => {
            let mut out = Vec::new();
            grow_for_snappy(&body, max, permit)?;
            compress::snappy(&body, size(max), &mut out).map_err(|e| undecodable(&e, setting))?;
            return Ok(out);
        }
        Encoding::None => {
            if body.len() as u64 > max {
                return Err(Refusal::too_large(
                    format_args!("body of {} bytes exceeds the limit of {max}", body.len()),
                    setting,
                ));
            }
            permit.grow(body.len() as u64).map_err(|e| over_budget(&e))?;
            return Ok(body.into());
        }
        Encoding::Gzip | Encoding::Deflate | Encoding::Zstd => {
            // What it may become is reserved while it is unpacked.
            let ratio = if encoding == Encoding::Zstd { MAX_UNZSTD } else { MAX_INFLATE };
            let worst = max.min((body.len() as u64).saturating_mul(ratio));
            let _reserved = budget.try_take(worst).map_err(|e| over_budget(&e))?;
            let unpacked = match encoding {
                Encoding::Gzip => compress::gzip(&body, size(max)),
                Encoding::Zstd => compress::zstd(&body, size(max)),
                _ => compress::deflate(&body, size(max)),
            };
            unpacked.map_err(|e| undecodable(&e, setting))?
        }
    };
    permit.grow(unpacked.len() as u64).map_err(|e| over_budget(&e))?;
    Ok(unpacked)
}

/// More memory is asked for than all pushes together may have.
pub(super) fn over_budget(e: &OverBudget) -> Refusal {
    let id = ids::INFLIGHT_BYTES;
    let text = format!("{id}: {e} (setting distributor.max_inflight_push_bytes)");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, id, text)
}

fn undecodable(e: &DecompressError, setting: &str) -> Refusal {
    match e {
        DecompressError::TooLarge { .. } => Refusal::too_large(e, setting),
        DecompressError::Malformed(_) => Refusal::malformed(e),
    }
}

fn too_long(n: u64, max: u64) -> Refusal {
    let what = format_args!("body of {n} bytes exceeds the limit of {max}").to_string();
    Refusal::too_large(what, "distributor.max_recv_msg_size")
}

fn size(max: u64) -> usize {
    usize::try_from(max).unwrap_or(usize::MAX)
}
