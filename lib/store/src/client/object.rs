//! `ObjectStore` for [`GrpcStore`].

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use skald_proto::storage as pb;
use tonic::{Response, Status, Streaming};

use super::{GrpcStore, Repeat, with_deadline};
use crate::error::{Reason, corrupt, from_status, other, timed_out};
use crate::wire;

/// A copy goes through this process; beyond this it is refused.
const COPY_BYTES: u64 = 64 << 20;

#[async_trait]
impl ObjectStore for GrpcStore {
    async fn put_opts(&self, key: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let repeat = if opts.mode == PutMode::Overwrite { Repeat::Allowed } else { Repeat::Never };
        let header = put_header(key, &data, opts)?;
        let trailer = wire::trailer(&data);
        let time = self.options.transfer_timeout.0;
        let answer = self
            .call(key.as_ref(), repeat, time, |mut client| {
                let request = put_stream(header.clone(), data.clone(), trailer);
                async move {
                    client.put(with_deadline(request, time)).await.map(Response::into_inner)
                }
            })
            .await?;
        Ok(put_result(answer))
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.start_upload(key).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        let time = self.options.request_timeout.0;
        let request = get_request(key, &options);
        let (header, frames) = self
            .call(key.as_ref(), Repeat::Allowed, time, |mut client| {
                let request = request.clone();
                async move {
                    // No deadline for the server: the body may take longer than the first frame.
                    let mut frames = client.get(request).await?.into_inner();
                    match frames.message().await?.and_then(|m| m.part) {
                        Some(pb::get_response::Part::Header(header)) => Ok((header, frames)),
                        _ => Err(Reason::Corrupt.into_status("the first frame is not a header")),
                    }
                }
            })
            .await?;
        let wire_meta = header.meta.ok_or_else(|| corrupt(key.as_ref(), "no metadata"))?;
        let meta = wire::meta_from_wire(wire_meta)?;
        options.check_preconditions(&meta)?;
        let range = header.start..header.end;
        let expected = if options.head { 0 } else { header.end.saturating_sub(header.start) };
        let payload = GetResultPayload::Stream(checked(key.to_string(), frames, expected, time));
        let attributes = object_store::Attributes::default();
        Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        keys.ready_chunks(wire::BATCH)
            .map(move |batch| {
                let store = store.clone();
                async move { stream::iter(store.delete_batch(batch).await) }
            })
            .buffered(4)
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_objects(list_request(prefix, "", ""))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_objects(list_request(prefix, offset.as_ref(), ""))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let request = list_request(prefix, "", wire::DELIMITER);
        let mut batches = std::pin::pin!(self.clone().list_batches(request));
        let (mut common_prefixes, mut objects) = (Vec::new(), Vec::new());
        while let Some(batch) = batches.try_next().await? {
            for dir in batch.common_prefixes {
                common_prefixes.push(wire::parse_key(dir.trim_end_matches('/'))?);
            }
            for meta in batch.objects {
                objects.push(wire::meta_from_wire(meta)?);
            }
        }
        Ok(ListResult { common_prefixes, objects, extensions: Default::default() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let got = self.get(from).await?;
        if got.meta.size > COPY_BYTES {
            let why = "a copy through the client is limited to 64 MiB";
            return Err(Reason::Unsupported.into_error(from.as_ref(), why));
        }
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.put_opts(to, got.bytes().await?.into(), mode.into()).await.map(|_| ())
    }
}

impl GrpcStore {
    async fn delete_batch(&self, batch: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let keys: Vec<String> = batch.iter().flatten().map(ToString::to_string).collect();
        let (n_keys, time) = (keys.len(), self.options.request_timeout.0);
        let answer = self
            .call("", Repeat::Allowed, time, |mut client| {
                let request = pb::DeleteRequest { keys: keys.clone() };
                async move {
                    client.delete(with_deadline(request, time)).await.map(Response::into_inner)
                }
            })
            .await;
        let results = match answer {
            Ok(answer) if answer.results.len() == n_keys => answer.results,
            Ok(_) => return vec![Err(other("a delete was answered for other keys"))],
            Err(err) => return vec![Err(err)],
        };
        let mut results = results.into_iter();
        let each = batch.into_iter().map(|item| {
            let key = item?;
            let result = results.next().unwrap_or_default();
            match (result.reason.as_str(), Reason::parse(&result.reason)) {
                ("", _) => Ok(key),
                (_, Some(reason)) => Err(reason.into_error(key.as_ref(), result.message)),
                (_, None) => Err(other(result.message)),
            }
        });
        each.collect()
    }

    fn list_objects(&self, request: pb::ListRequest) -> BoxStream<'static, Result<ObjectMeta>> {
        self.clone()
            .list_batches(request)
            .map_ok(|batch| stream::iter(batch.objects.into_iter().map(wire::meta_from_wire)))
            .try_flatten()
            .boxed()
    }

    fn list_batches(
        self,
        request: pb::ListRequest,
    ) -> BoxStream<'static, Result<pb::ListResponse>> {
        let time = self.options.request_timeout.0;
        let opened = async move {
            let batches = self
                .call(&request.prefix, Repeat::Allowed, time, |mut client| {
                    let request = request.clone();
                    async move { client.list(request).await.map(Response::into_inner) }
                })
                .await?;
            Ok::<_, Error>(stream::try_unfold(batches, move |mut batches| async move {
                let next = next_message(&mut batches, "", time).await?;
                Ok(next.map(|batch| (batch, batches)))
            }))
        };
        stream::once(opened).try_flatten().boxed()
    }
}

/// The data frames of a get, each checked, and all of them there.
fn checked(
    key: String,
    frames: Streaming<pb::GetResponse>,
    expected: u64,
    time: Duration,
) -> BoxStream<'static, Result<bytes::Bytes>> {
    stream::try_unfold((frames, expected, key), move |(mut frames, left, key)| async move {
        let Some(message) = next_message(&mut frames, &key, time).await? else {
            return match left {
                0 => Ok(None),
                _ => Err(corrupt(&key, format!("the body ended {left} bytes early"))),
            };
        };
        let Some(pb::get_response::Part::Data(frame)) = message.part else {
            return Err(corrupt(&key, "a frame that is not data"));
        };
        if crc32c::crc32c(&frame.data) != frame.crc32c {
            return Err(corrupt(&key, "a frame does not match its crc32c"));
        }
        let length = u64::try_from(frame.data.len()).unwrap_or(u64::MAX);
        let left = left
            .checked_sub(length)
            .ok_or_else(|| corrupt(&key, "the body is longer than its range"))?;
        Ok(Some((frame.data, (frames, left, key))))
    })
    .boxed()
}

async fn next_message<T>(
    frames: &mut Streaming<T>,
    key: &str,
    time: Duration,
) -> Result<Option<T>> {
    match tokio::time::timeout(time, frames.message()).await {
        Ok(message) => message.map_err(|status: Status| from_status(&status, key)),
        Err(_) => Err(timed_out(format!("no frame within {time:?}"))),
    }
}

fn put_header(key: &Path, data: &PutPayload, opts: PutOptions) -> Result<pb::PutHeader> {
    use pb::precondition::Kind;
    let kind = match opts.mode {
        PutMode::Overwrite => Kind::None(true),
        PutMode::Create => Kind::IfAbsent(true),
        PutMode::Update(version) => Kind::IfMatch(pb::Version {
            etag: version.e_tag.unwrap_or_default(),
            version: version.version.unwrap_or_default(),
        }),
    };
    let mut content_type = String::new();
    for (attribute, value) in &opts.attributes {
        match attribute {
            Attribute::ContentType => content_type = value.to_string(),
            other => {
                let why = format!("the attribute {other:?} cannot be sent");
                return Err(Reason::Unsupported.into_error(key.as_ref(), why));
            }
        }
    }
    Ok(pb::PutHeader {
        key: key.to_string(),
        size_hint: wire::length(data),
        content_type,
        precondition: Some(pb::Precondition { kind: Some(kind) }),
    })
}

fn put_stream(
    header: pb::PutHeader,
    data: PutPayload,
    trailer: pb::Trailer,
) -> stream::Iter<impl Iterator<Item = pb::PutRequest> + Send + 'static> {
    use pb::put_request::Part;
    let parts = std::iter::once(Part::Header(header))
        .chain(wire::frames(data).map(Part::Data))
        .chain([Part::Trailer(trailer)]);
    stream::iter(parts.map(|part| pb::PutRequest { part: Some(part) }))
}

pub(super) fn put_result(answer: pb::PutResponse) -> PutResult {
    PutResult {
        e_tag: wire::some(answer.etag),
        version: wire::some(answer.version),
        extensions: Default::default(),
    }
}

fn get_request(key: &Path, options: &GetOptions) -> pb::GetRequest {
    use pb::range::Kind;
    let kind = options.range.as_ref().map(|range| match range {
        GetRange::Bounded(r) => Kind::Bounded(pb::Bounded { start: r.start, end: r.end }),
        GetRange::Offset(from) => Kind::From(*from),
        GetRange::Suffix(n) => Kind::Suffix(*n),
    });
    pb::GetRequest {
        key: key.to_string(),
        range: kind.map(|kind| pb::Range { kind: Some(kind) }),
        if_match: options.if_match.clone().unwrap_or_default(),
        if_none_match: options.if_none_match.clone().unwrap_or_default(),
        version: options.version.clone().unwrap_or_default(),
        head_only: options.head,
    }
}

/// `object_store` prefixes end at a segment, those of the wire anywhere.
fn list_request(prefix: Option<&Path>, start_after: &str, delimiter: &str) -> pb::ListRequest {
    let prefix = match prefix {
        Some(prefix) if !prefix.as_ref().is_empty() => format!("{prefix}/"),
        _ => String::new(),
    };
    pb::ListRequest { prefix, start_after: start_after.into(), delimiter: delimiter.into() }
}
