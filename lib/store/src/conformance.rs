//! The behaviour that every backend and every plugin is held to. `skald storage check URL` runs it.
//!
//! Cases are *required* (Skald cannot run without) or *optional*. All objects live under a random prefix
//! and are deleted at the end.

mod objects;
mod reads;
mod uploads;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use skald_model::Chain;
use skald_runtime::Rng;

/// Which cases are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only those that Skald cannot do without.
    Required,
    All,
}

/// Whether Skald can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
}

/// The outcome of one case.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub need: Need,
    /// What went wrong.
    pub result: Result<(), String>,
}

/// The outcomes of a run. Prints one line per case.
#[derive(Clone, Debug)]
pub struct Report {
    pub cases: Vec<Case>,
}

/// What a case gets: the store and a prefix of its own.
#[derive(Clone)]
struct Ctx {
    store: Arc<dyn ObjectStore>,
    root: String,
}

type Outcome = Result<(), String>;
type Body = fn(Ctx) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A case that hangs is a case that fails.
const CASE_TIMEOUT: Duration = Duration::from_secs(180);

macro_rules! cases {
    ($($need:ident $name:literal $module:ident :: $body:ident;)*) => {
        &[$(($name, Need::$need, |ctx| Box::pin($module::$body(ctx)))),*]
    };
}

const CASES: &[(&str, Need, Body)] = cases! {
    Required "put, get and head agree" objects::put_get_head;
    Required "a missing object is NotFound" objects::missing_is_not_found;
    Required "a put overwrites" objects::overwrite;
    Required "create-if-absent creates once" objects::create_if_absent;
    Required "of racing creates exactly one wins" objects::racing_creates;
    Required "zero bytes are an object" objects::zero_bytes;
    Required "odd keys keep their bytes" objects::odd_keys;
    Required "9 MiB in one put" objects::large;
    Required "delete, also of what is missing" objects::delete;
    Required "last_modified is there" objects::last_modified;
    Required "ranges: bounded, to the end, suffix, beyond" reads::ranges;
    Required "a list shows a put and a delete at once" reads::list_is_consistent;
    Required "a list prefix ends at a segment" reads::list_prefix;
    Required "a list with delimiter gives directories" reads::list_delimiter;
    Required "3000 keys are listed once each" reads::list_many;
    Optional "a suffix longer than the object" reads::long_suffix;
    Optional "a list is in byte order" reads::list_order;
    Optional "a list starts after a key" reads::list_start_after;
    Optional "a get with if-match and if-none-match" reads::conditional_get;
    Optional "a put with if-match" objects::if_match;
    Optional "a multipart upload" uploads::multipart;
    Optional "parts of an upload sent together" uploads::parallel_parts;
    Optional "an aborted upload leaves nothing" uploads::abort;
};

/// Runs the cases one after the other, then deletes what they made.
pub async fn run(store: Arc<dyn ObjectStore>, level: Level) -> Report {
    let root = format!("conformance/{:032x}", Rng::from_entropy().next_u128());
    let mut cases = Vec::new();
    for (n, (name, need, body)) in CASES.iter().enumerate() {
        if level == Level::Required && *need == Need::Optional {
            continue;
        }
        let ctx = Ctx { store: Arc::clone(&store), root: format!("{root}/{n}") };
        let result = match tokio::time::timeout(CASE_TIMEOUT, body(ctx)).await {
            Ok(result) => result,
            Err(_) => Err(format!("not done after {CASE_TIMEOUT:?}")),
        };
        cases.push(Case { name, need: *need, result });
    }
    let result = clean_up(&*store, &Path::from(root)).await.map_err(|e| text(&e));
    cases.push(Case { name: "cleaning up", need: Need::Required, result });
    Report { cases }
}

async fn clean_up(store: &dyn ObjectStore, root: &Path) -> Result<(), Error> {
    let keys = store.list(Some(root)).map_ok(|meta| meta.location).boxed();
    store.delete_stream(keys).try_for_each(|_| std::future::ready(Ok(()))).await
}

// === impl Report ===

impl Report {
    /// Did every case of this level pass?
    pub fn passes(&self, level: Level) -> bool {
        self.cases
            .iter()
            .all(|c| c.result.is_ok() || (level == Level::Required && c.need == Need::Optional))
    }

    pub fn failed(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|c| c.result.is_err())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Case { name, need, result } in &self.cases {
            match (result, need) {
                (Ok(()), _) => writeln!(f, "ok    {name}")?,
                (Err(why), Need::Required) => writeln!(f, "FAIL  {name}: {why}")?,
                (Err(why), Need::Optional) => writeln!(f, "lacks {name}: {why}")?,
            }
        }
        Ok(())
    }
}

// === what cases use ===

impl Ctx {
    /// A key under this case's prefix, taken literally.
    fn key(&self, name: &str) -> Result<Path, String> {
        Path::parse(format!("{}/{name}", self.root)).map_err(|e| e.to_string())
    }

    fn dir(&self) -> Path {
        Path::from(self.root.as_str())
    }

    async fn put(&self, name: &str, data: impl Into<Bytes> + Send) -> Result<Path, String> {
        let (key, data) = (self.key(name)?, data.into());
        self.store.put(&key, data.into()).await.map_err(|e| text(&e))?;
        Ok(key)
    }

    async fn read(&self, key: &Path) -> Result<Bytes, String> {
        let got = self.store.get(key).await.map_err(|e| text(&e))?;
        got.bytes().await.map_err(|e| text(&e))
    }

    /// The names listed under `dir`, without this case's prefix, in the order given.
    async fn names(&self, dir: &Path) -> Result<Vec<String>, String> {
        let listed = self.store.list(Some(dir)).map_ok(|meta| self.name(&meta.location));
        listed.try_collect().await.map_err(|e| text(&e))
    }

    fn name(&self, key: &Path) -> String {
        let key = key.as_ref();
        key.strip_prefix(&self.root).map_or(key, |k| k.trim_start_matches('/')).to_owned()
    }
}

fn text(err: &Error) -> String {
    Chain(err).to_string()
}

/// Fails with a message that shows both.
fn same<T: PartialEq + fmt::Debug>(what: &str, got: T, wanted: T) -> Outcome {
    if got == wanted { Ok(()) } else { Err(format!("{what}: got {got:?}, wanted {wanted:?}")) }
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Bytes {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

#[cfg(test)]
mod tests;
