//! Cases about single objects.

use futures_util::{StreamExt, TryStreamExt, future};
use object_store::{Error, ObjectStoreExt, PutMode, PutResult, UpdateVersion};

use super::{Ctx, Outcome, pattern, same, text};

const CREATE: PutMode = PutMode::Create;
/// Chosen for what file systems, URLs and signatures get wrong.
const ODD_KEYS: [&str; 8] = [
    "with space",
    "plus+and&and=",
    "ünï/cødé/✓",
    "percent%2Fencoded",
    "dots..in...it",
    "quote'and,comma;colon:at@",
    "UPPER and upper",
    "tilde~(paren)!$",
];

pub(super) async fn put_get_head(ctx: Ctx) -> Outcome {
    let key = ctx.put("a", "hello").await?;
    same("the bytes", ctx.read(&key).await?.as_ref(), b"hello")?;
    let head = ctx.store.head(&key).await.map_err(|e| text(&e))?;
    same("head's size", head.size, 5)?;
    same("head's key", &head.location, &key)?;
    let got = ctx.store.get(&key).await.map_err(|e| text(&e))?;
    same("get's and head's etag", got.meta.e_tag, head.e_tag)
}

pub(super) async fn missing_is_not_found(ctx: Ctx) -> Outcome {
    let key = ctx.key("missing")?;
    match ctx.store.get(&key).await {
        Err(Error::NotFound { .. }) => {}
        other => return Err(format!("get gave {other:?}")),
    }
    match ctx.store.head(&key).await {
        Err(Error::NotFound { .. }) => Ok(()),
        other => Err(format!("head gave {other:?}")),
    }
}

pub(super) async fn overwrite(ctx: Ctx) -> Outcome {
    let key = ctx.put("a", "first, longer").await?;
    ctx.put("a", "second").await?;
    same("the bytes", ctx.read(&key).await?.as_ref(), b"second")
}

pub(super) async fn create_if_absent(ctx: Ctx) -> Outcome {
    let key = ctx.key("a")?;
    let create = |data: &'static str| ctx.store.put_opts(&key, data.into(), CREATE.into());
    create("first").await.map_err(|e| text(&e))?;
    match create("second").await {
        Err(Error::AlreadyExists { .. }) => {}
        other => return Err(format!("a second create gave {other:?}")),
    }
    same("the bytes", ctx.read(&key).await?.as_ref(), b"first")?;
    ctx.store.delete(&key).await.map_err(|e| text(&e))?;
    create("third").await.map_err(|e| text(&e))?;
    same("after a delete, the bytes", ctx.read(&key).await?.as_ref(), b"third")
}

pub(super) async fn racing_creates(ctx: Ctx) -> Outcome {
    for round in 0..5 {
        let key = ctx.key(&format!("r{round}"))?;
        let racers = (0..8u8).map(|racer| {
            let (store, key) = (std::sync::Arc::clone(&ctx.store), key.clone());
            skald_runtime::spawn("conformance_racer", async move {
                let put = store.put_opts(&key, vec![racer; 100].into(), CREATE.into()).await;
                (racer, put)
            })
        });
        let mut winners = Vec::new();
        for racer in future::join_all(racers).await {
            match racer.map_err(|e| e.to_string())? {
                (racer, Ok(_)) => winners.push(racer),
                (_, Err(Error::AlreadyExists { .. })) => {}
                (_, Err(err)) => return Err(format!("a loser got {}", text(&err))),
            }
        }
        let [winner] = winners[..] else {
            return Err(format!("{} creates of one key succeeded", winners.len()));
        };
        same("the winner's bytes", ctx.read(&key).await?.to_vec(), vec![winner; 100])?;
    }
    Ok(())
}

pub(super) async fn zero_bytes(ctx: Ctx) -> Outcome {
    let key = ctx.put("empty", "").await?;
    same("the bytes", ctx.read(&key).await?.len(), 0)?;
    same("head's size", ctx.store.head(&key).await.map_err(|e| text(&e))?.size, 0)?;
    same("the list", ctx.names(&ctx.dir()).await?, vec!["empty".to_owned()])
}

pub(super) async fn odd_keys(ctx: Ctx) -> Outcome {
    for name in ODD_KEYS {
        let key = ctx.put(name, name).await.map_err(|e| format!("{name:?}: {e}"))?;
        same(name, ctx.read(&key).await?.as_ref(), name.as_bytes())?;
    }
    let mut wanted = ODD_KEYS.map(str::to_owned).to_vec();
    let mut got = ctx.names(&ctx.dir()).await?;
    wanted.sort_unstable();
    got.sort_unstable();
    same("the list", got, wanted)?;
    for name in ODD_KEYS {
        let deleted = ctx.store.delete(&ctx.key(name)?).await;
        deleted.map_err(|e| format!("delete {name:?}: {}", text(&e)))?;
    }
    same("after deletes, the list", ctx.names(&ctx.dir()).await?, Vec::new())
}

pub(super) async fn large(ctx: Ctx) -> Outcome {
    let data = pattern(9 << 20);
    let key = ctx.put("large", data.clone()).await?;
    if ctx.read(&key).await? != data {
        return Err("the bytes differ".to_owned());
    }
    let create = ctx.key("created")?;
    let put = ctx.store.put_opts(&create, data.clone().into(), CREATE.into()).await;
    put.map_err(|e| text(&e))?;
    let middle = (5 << 20) - 3..(5 << 20) + 70_000;
    let part = ctx.store.get_range(&create, middle).await.map_err(|e| text(&e))?;
    if part == data.slice((5 << 20) - 3..(5 << 20) + 70_000) {
        Ok(())
    } else {
        Err("the bytes of a range differ".to_owned())
    }
}

pub(super) async fn delete(ctx: Ctx) -> Outcome {
    match ctx.store.delete(&ctx.key("missing")?).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(err) => return Err(format!("of a missing object: {}", text(&err))),
    }
    let mut keys = Vec::new();
    for n in 0..20 {
        keys.push(Ok(ctx.put(&format!("d/{n}"), "x").await?));
    }
    let deleted = ctx.store.delete_stream(futures_util::stream::iter(keys).boxed());
    let deleted: Vec<_> = deleted.try_collect().await.map_err(|e| text(&e))?;
    same("deleted at once", deleted.len(), 20)?;
    same("the list", ctx.names(&ctx.dir()).await?, Vec::new())?;
    match ctx.store.get(&ctx.key("d/0")?).await {
        Err(Error::NotFound { .. }) => Ok(()),
        other => Err(format!("a deleted object gave {other:?}")),
    }
}

pub(super) async fn last_modified(ctx: Ctx) -> Outcome {
    let key = ctx.put("a", "x").await?;
    let head = ctx.store.head(&key).await.map_err(|e| text(&e))?;
    // No comparison with our clock, which is another machine's; 2020 tells a time from a default.
    if head.last_modified.timestamp() < 1_577_836_800 {
        return Err(format!("head gave {}", head.last_modified));
    }
    let dir = ctx.dir();
    let listed: Vec<_> = ctx.store.list(Some(&dir)).try_collect().await.map_err(|e| text(&e))?;
    let times: Vec<_> = listed.iter().map(|m| m.last_modified.timestamp()).collect();
    same("the list's time", times, vec![head.last_modified.timestamp()])
}

pub(super) async fn if_match(ctx: Ctx) -> Outcome {
    let key = ctx.key("a")?;
    let version = |put: PutResult| PutMode::Update(UpdateVersion::from(put));
    let put =
        |data: &'static str, mode: PutMode| ctx.store.put_opts(&key, data.into(), mode.into());
    let first = put("first", PutMode::Overwrite).await.map_err(|e| text(&e))?;
    let second = put("second", version(first.clone())).await.map_err(|e| text(&e))?;
    match put("lost", version(first)).await {
        Err(Error::Precondition { .. }) => {}
        other => return Err(format!("an old version gave {other:?}")),
    }
    same("the bytes", ctx.read(&key).await?.as_ref(), b"second")?;
    put("third", version(second)).await.map(|_| ()).map_err(|e| text(&e))
}
