//! Cases about reading and listing.

use std::collections::BTreeSet;
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt};
use object_store::{Error, GetOptions, GetRange, ObjectStoreExt};

use super::{Ctx, Outcome, same, text};

/// Sorts differently as bytes and as a walk through directories.
const TREE: [&str; 7] = ["a", "a!x", "b/c", "b/c-d", "b/c0", "b-e", "Ä"];

pub(super) async fn ranges(ctx: Ctx) -> Outcome {
    let key = ctx.put("digits", "0123456789").await?;
    let cases: [(GetRange, &str, Range<u64>); 5] = [
        (GetRange::Bounded(0..1), "0", 0..1),
        (GetRange::Bounded(3..7), "3456", 3..7),
        (GetRange::Bounded(8..20), "89", 8..10),
        (GetRange::Offset(6), "6789", 6..10),
        (GetRange::Suffix(3), "789", 7..10),
    ];
    for (range, wanted, place) in cases {
        let what = range.to_string();
        let options = GetOptions { range: Some(range), ..Default::default() };
        let got = ctx.store.get_opts(&key, options).await;
        let got = got.map_err(|e| format!("{what}: {}", text(&e)))?;
        same(&what, got.range.clone(), place)?;
        same(&what, got.meta.size, 10)?;
        let bytes = got.bytes().await.map_err(|e| text(&e))?;
        same(&what, bytes.as_ref(), wanted.as_bytes())?;
    }
    let beyond = GetOptions { range: Some(GetRange::Bounded(10..12)), ..Default::default() };
    if ctx.store.get_opts(&key, beyond).await.is_ok() {
        return Err("a range that starts at the end is not an error".to_owned());
    }
    let several = ctx.store.get_ranges(&key, &[0..2, 5..6, 8..10]).await.map_err(|e| text(&e))?;
    same("several ranges", several.concat(), b"01589".to_vec())
}

pub(super) async fn long_suffix(ctx: Ctx) -> Outcome {
    let key = ctx.put("digits", "0123456789").await?;
    let options = GetOptions { range: Some(GetRange::Suffix(30)), ..Default::default() };
    let got = ctx.store.get_opts(&key, options).await.map_err(|e| text(&e))?;
    same("the bytes", got.bytes().await.map_err(|e| text(&e))?.as_ref(), b"0123456789")
}

pub(super) async fn list_is_consistent(ctx: Ctx) -> Outcome {
    for round in 0..10 {
        let name = format!("dir/k{round}");
        let key = ctx.put(&name, "x").await?;
        same("after a put", ctx.names(&ctx.dir()).await?, vec![name])?;
        ctx.store.delete(&key).await.map_err(|e| text(&e))?;
        same("after a delete", ctx.names(&ctx.dir()).await?, Vec::new())?;
    }
    Ok(())
}

pub(super) async fn list_prefix(ctx: Ctx) -> Outcome {
    for name in ["ab/1", "ab/2/3", "abc/4", "ab5"] {
        ctx.put(name, "x").await?;
    }
    let mut got = ctx.names(&ctx.key("ab")?).await?;
    got.sort_unstable();
    same("the list", got, vec!["ab/1".to_owned(), "ab/2/3".to_owned()])?;
    same("of nothing", ctx.names(&ctx.key("none")?).await?, Vec::new())
}

pub(super) async fn list_delimiter(ctx: Ctx) -> Outcome {
    for name in ["top", "x/1", "x/y/2", "z/3"] {
        ctx.put(name, "x").await?;
    }
    let listed = ctx.store.list_with_delimiter(Some(&ctx.dir())).await.map_err(|e| text(&e))?;
    let mut dirs: Vec<_> = listed.common_prefixes.iter().map(|p| ctx.name(p)).collect();
    let objects: Vec<_> = listed.objects.iter().map(|m| ctx.name(&m.location)).collect();
    dirs.sort_unstable();
    same("directories", dirs, vec!["x".to_owned(), "z".to_owned()])?;
    same("objects", objects, vec!["top".to_owned()])?;
    let dir = ctx.key("x")?;
    let listed = ctx.store.list_with_delimiter(Some(&dir)).await.map_err(|e| text(&e))?;
    let objects: Vec<_> = listed.objects.iter().map(|m| ctx.name(&m.location)).collect();
    same("objects of a directory", objects, vec!["x/1".to_owned()])
}

pub(super) async fn list_many(ctx: Ctx) -> Outcome {
    let names: BTreeSet<String> = (0..3000).map(|n| format!("many/{n:05}")).collect();
    let owned: Vec<String> = names.iter().cloned().collect();
    let puts = futures_util::stream::iter(owned).map(|name| {
        let ctx = ctx.clone();
        async move { ctx.put(&name, "x").await }
    });
    puts.buffer_unordered(32).try_for_each(|_| std::future::ready(Ok(()))).await?;
    let got = ctx.names(&ctx.dir()).await?;
    same("the number of keys", got.len(), names.len())?;
    if got.into_iter().collect::<BTreeSet<_>>() != names {
        return Err("other keys than were put".to_owned());
    }
    let listed = ctx.store.list_with_delimiter(Some(&ctx.key("many")?)).await;
    same("with a delimiter", listed.map_err(|e| text(&e))?.objects.len(), names.len())
}

pub(super) async fn list_order(ctx: Ctx) -> Outcome {
    for name in TREE {
        ctx.put(name, "x").await?;
    }
    let mut wanted = TREE.map(str::to_owned).to_vec();
    wanted.sort_unstable();
    same("the list", ctx.names(&ctx.dir()).await?, wanted)
}

pub(super) async fn list_start_after(ctx: Ctx) -> Outcome {
    for name in TREE {
        ctx.put(name, "x").await?;
    }
    let mut wanted: Vec<String> =
        TREE.iter().filter(|n| **n > "b/c").map(|n| (*n).to_owned()).collect();
    wanted.sort_unstable();
    let dir = ctx.dir();
    let listed = ctx.store.list_with_offset(Some(&dir), &ctx.key("b/c")?);
    let mut got: Vec<String> =
        listed.map_ok(|meta| ctx.name(&meta.location)).try_collect().await.map_err(|e| text(&e))?;
    got.sort_unstable();
    same("after b/c", got, wanted)
}

pub(super) async fn conditional_get(ctx: Ctx) -> Outcome {
    let key = ctx.put("a", "x").await?;
    let tag = ctx.store.head(&key).await.map_err(|e| text(&e))?.e_tag;
    let tag = tag.ok_or_else(|| "there is no etag".to_owned())?;
    let get = |options: GetOptions| ctx.store.get_opts(&key, options);
    get(GetOptions::new().with_if_match(Some(&tag))).await.map_err(|e| text(&e))?;
    match get(GetOptions::new().with_if_match(Some("\"other\""))).await {
        Err(Error::Precondition { .. }) => {}
        other => return Err(format!("if-match of another etag gave {other:?}")),
    }
    match get(GetOptions::new().with_if_none_match(Some(&tag))).await {
        Err(Error::NotModified { .. }) => Ok(()),
        other => Err(format!("if-none-match of its etag gave {other:?}")),
    }
}
