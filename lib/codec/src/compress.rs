//! Decompression of foreign bodies with a cap that is checked before memory is taken.

use std::io::Read;

/// Why a body could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    #[error("decompressed size of {declared} bytes exceeds the limit of {limit}")]
    TooLarge { declared: u64, limit: u64 },
    #[error("malformed {0}")]
    Malformed(&'static str),
}

/// Unpacks a snappy block (not framed) into `out`, which may be reused.
pub fn snappy(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let n = snappy_over(body, limit, out)?;
    out.truncate(n);
    Ok(())
}

/// As [`snappy`], but over what `out` holds already, which may end up longer than what was unpacked:
/// answers how many bytes that is. A buffer that is used again is thus not cleared each time.
pub fn snappy_over(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, DecompressError> {
    let len = snap::raw::decompress_len(body).map_err(|_| DecompressError::Malformed("snappy"))?;
    if len > limit {
        return Err(DecompressError::TooLarge { declared: len as u64, limit: limit as u64 });
    }
    // A snappy element expands at most 64 bytes from 2, so a tiny body cannot honestly claim a huge size.
    if len > body.len().saturating_mul(64).saturating_add(64) {
        return Err(DecompressError::Malformed("snappy"));
    }
    if out.len() < len {
        // What is in it need not move along.
        out.clear();
        out.resize(len, 0);
    }
    let room = out.get_mut(..len).unwrap_or_default();
    snap::raw::Decoder::new()
        .decompress(body, room)
        .map_err(|_| DecompressError::Malformed("snappy"))
}

/// Unpacks gzip, reading at most `limit` bytes of output.
pub fn gzip(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    capped(flate2::read::MultiGzDecoder::new(body), "gzip", limit)
}

/// Unpacks what HTTP calls deflate: a zlib stream, or a bare deflate stream as some clients send.
pub fn deflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    match capped(flate2::read::ZlibDecoder::new(body), "deflate", limit) {
        Err(DecompressError::Malformed(_)) => {
            capped(flate2::read::DeflateDecoder::new(body), "deflate", limit)
        }
        other => other,
    }
}

/// Unpacks one zstd frame, reading at most `limit` bytes of output.
pub fn zstd(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let decoder =
        zstd::stream::read::Decoder::new(body).map_err(|_| DecompressError::Malformed("zstd"))?;
    capped(decoder, "zstd", limit)
}

fn capped(reader: impl Read, what: &'static str, limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    let cap = limit as u64 + 1;
    reader.take(cap).read_to_end(&mut out).map_err(|_| DecompressError::Malformed(what))?;
    if out.len() > limit {
        return Err(DecompressError::TooLarge { declared: out.len() as u64, limit: limit as u64 });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn refuses_a_snappy_header_that_lies() {
        let mut out = Vec::new();
        // The varint says 2 GiB; the body is five bytes.
        let bomb = [0x80, 0x80, 0x80, 0x80, 0x08];
        assert!(matches!(snappy(&bomb, 32 << 20, &mut out), Err(DecompressError::TooLarge { .. })));
        // Within the limit, but more than these bytes can hold.
        let bomb = [0x80, 0x80, 0x80, 0x08, 0x00];
        assert!(matches!(snappy(&bomb, 32 << 20, &mut out), Err(DecompressError::Malformed(_))));
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn a_buffer_that_is_used_again_gives_what_a_fresh_one_does() {
        let pack = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
        let mut out = Vec::new();
        assert_eq!(snappy_over(&pack(b"longer text"), 100, &mut out).unwrap(), 11);
        assert_eq!(snappy_over(&pack(b"text"), 100, &mut out).unwrap(), 4);
        assert_eq!((&out[..4], out.len()), (&b"text"[..], 11));
        snappy(&pack(b"again"), 100, &mut out).unwrap();
        assert_eq!(out, b"again");
    }

    #[test]
    fn caps_every_stream_format() {
        let zeros = vec![0u8; 1 << 20];
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&zeros).unwrap();
        let gz = gz.finish().unwrap();
        assert!(matches!(gzip(&gz, 1000), Err(DecompressError::TooLarge { .. })));
        assert_eq!(gzip(&gz, 1 << 20).unwrap(), zeros);
        assert!(matches!(gzip(b"no gzip", 1000), Err(DecompressError::Malformed(_))));
        let z = ::zstd::encode_all(zeros.as_slice(), 1).unwrap();
        assert!(matches!(zstd(&z, 1000), Err(DecompressError::TooLarge { .. })));
    }
}
