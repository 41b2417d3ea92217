//! docs/errors.md lists exactly the error ids of the code, and the settings it names exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PREFIX: &str = "err-skald-";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// The ids in a text, each with the prefix.
fn ids(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let names = text.split(PREFIX).skip(1).map(|rest| {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches('-')
    });
    names.filter(|n| !n.is_empty()).map(|n| format!("{PREFIX}{n}")).collect()
}

/// Every `.rs` file below a crate's `src`, without those that hold tests only.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for top in ["distributor", "ingester", "querier", "compactor", "server", "lib", "proto"] {
        collect(&root().join(top), false, &mut found);
    }
    found
}

fn collect(dir: &Path, in_src: bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            if name != "tests" && name != "target" {
                collect(&path, in_src || name == "src", found);
            }
        } else if in_src && name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
            found.push(path);
        }
    }
}

/// A file's text in front of its inline test module.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The rows of the page: the cells behind each id.
fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|l| l.starts_with("| `err-skald-")) {
        let mut cells: Vec<_> = line.split('|').map(|c| c.trim().to_owned()).collect();
        assert_eq!(cells.len(), 6, "four cells in {line}");
        cells.truncate(5);
        let id = cells[1].trim_matches('`').to_owned();
        let again = rows.insert(id.clone(), cells.split_off(2));
        assert!(again.is_none(), "{id} has two rows");
    }
    rows
}

#[test]
fn the_page_lists_the_error_ids_of_the_code() {
    let files = sources();
    let in_code: BTreeSet<String> = files.iter().flat_map(|path| ids(&code(path))).collect();
    let page = read("docs/errors.md");
    let listed: BTreeSet<String> = rows(&page).into_keys().collect();
    assert!(in_code.len() > 40, "the search finds the code: {in_code:?}");
    let missing: Vec<_> = in_code.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/errors.md has no row for {missing:?}");
    let gone: Vec<_> = ids(&page).difference(&in_code).cloned().collect();
    assert!(gone.is_empty(), "docs/errors.md names ids that no code has: {gone:?}");
}

/// An id put together at run time would escape the comparison.
#[test]
fn error_ids_are_written_out() {
    for path in sources() {
        assert!(!code(&path).contains("err-skald-{"), "{}: write the id out", path.display());
    }
}

#[test]
fn the_page_names_settings_that_exist() {
    let keys = read("docs/configuration.md");
    for (id, cells) in rows(&read("docs/errors.md")) {
        let [status, setting, what] = cells.as_slice() else { panic!("{id}: {cells:?}") };
        assert!(status.chars().take(3).all(|c| c.is_ascii_digit()), "{id}: status {status:?}");
        assert!(!what.is_empty(), "{id} says nothing");
        let named: Vec<&str> = setting.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || setting == "–", "{id}: setting {setting:?}");
        for key in named {
            assert!(keys.contains(&format!("| `{key}` |")), "{id}: there is no setting {key}");
        }
    }
}

#[test]
fn ids_end_where_their_characters_end() {
    let found =
        ids("x err-skald-a-1: err-skald-… (err-skald-b), \"err-skald-\" err-skald-c- err-skald-D");
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["err-skald-a-1", "err-skald-b", "err-skald-c"]
    );
}
