//! Cases about multipart uploads.

use futures_util::future;
use object_store::{Error, MultipartUpload, ObjectStoreExt};

use super::{Ctx, Outcome, pattern, same, text};

/// Above S3's minimum, and no multiple of a frame.
const PART: usize = (5 << 20) + 1000;

pub(super) async fn multipart(ctx: Ctx) -> Outcome {
    let key = ctx.key("a")?;
    let data = pattern(2 * PART + 10);
    let mut upload = ctx.store.put_multipart(&key).await.map_err(|e| text(&e))?;
    for part in [data.slice(..PART), data.slice(PART..2 * PART), data.slice(2 * PART..)] {
        upload.put_part(part.into()).await.map_err(|e| text(&e))?;
        if !matches!(ctx.store.head(&key).await, Err(Error::NotFound { .. })) {
            return Err("the object is visible before the end".to_owned());
        }
    }
    upload.complete().await.map_err(|e| text(&e))?;
    if ctx.read(&key).await? == data { Ok(()) } else { Err("the bytes differ".to_owned()) }
}

pub(super) async fn parallel_parts(ctx: Ctx) -> Outcome {
    let key = ctx.key("a")?;
    let data = pattern(2 * PART + 10);
    let mut upload = ctx.store.put_multipart(&key).await.map_err(|e| text(&e))?;
    let parts = [data.slice(..PART), data.slice(PART..2 * PART), data.slice(2 * PART..)];
    let mut sent: Vec<_> = parts.into_iter().map(|part| upload.put_part(part.into())).collect();
    // The last is asked first.
    sent.reverse();
    future::try_join_all(sent).await.map_err(|e| text(&e))?;
    upload.complete().await.map_err(|e| text(&e))?;
    if ctx.read(&key).await? == data { Ok(()) } else { Err("the bytes differ".to_owned()) }
}

pub(super) async fn abort(ctx: Ctx) -> Outcome {
    let key = ctx.key("a")?;
    let mut upload = ctx.store.put_multipart(&key).await.map_err(|e| text(&e))?;
    upload.put_part(pattern(PART).into()).await.map_err(|e| text(&e))?;
    upload.abort().await.map_err(|e| text(&e))?;
    same("the list", ctx.names(&ctx.dir()).await?, Vec::new())?;
    match ctx.store.head(&key).await {
        Err(Error::NotFound { .. }) => Ok(()),
        other => Err(format!("head gave {other:?}")),
    }
}
