//! Dependencies point down only (docs/architecture.md), and the judge is not the judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the library and the others that it uses, exactly: neither more nor less, so that this is the plan of the house.
/// A module stands above all that it uses.
const USES: &[(&str, &str)] = &[
    ("time", ""),
    ("id", ""),
    ("secret", ""),
    ("shown", ""),
    ("protocol", ""),
    ("throttle", ""),
    ("plain", ""),
    ("policy", ""),
    ("skew", "time"),
    ("call", "id shown time"),
    ("event", "id shown time"),
    ("retry", "call time"),
    ("thread", "call event id policy retry time"),
    ("control", "call id"),
    ("crypto", ""),
    ("http", "call control crypto secret time"),
    ("graph", "call control http id secret skew time"),
    ("doctor", "call control graph id policy thread time"),
    ("store", "call crypto id policy secret thread time"),
    ("handover", "call control event id policy retry skew store thread throttle time"),
    ("testing", "call control event handover id time"),
    ("webhook", "event handover id plain secret shown throttle time"),
    ("engage", "call control handover http id plain secret shown throttle time webhook"),
    ("bots_api", "call control engage handover id plain secret store thread throttle"),
    ("settings", "bots_api graph handover id policy secret store webhook"),
    ("routes", "bots_api engage webhook"),
    (
        "prelude",
        "bots_api call control engage event graph handover id plain policy routes secret settings store thread webhook",
    ),
];

/// Beyond the line these know nothing of: async, clocks, sockets and databases.
const SANS_IO: [&str; 11] = [
    "time",
    "skew",
    "id",
    "secret",
    "shown",
    "call",
    "event",
    "policy",
    "retry",
    "thread",
    "../sim/src/platform",
];
const OF_THE_WORLD: [&str; 9] = [
    "tokio",
    "reqwest",
    "async_trait",
    "async ",
    "std::net",
    "std::fs",
    "std::thread",
    "Instant",
    "SystemTime",
];

fn sources(of: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(of);
    let mut dirs = vec![root.clone()];
    let mut found = Vec::new();
    let file = root.with_extension("rs");
    if file.is_file() {
        found.push(file);
    }
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut dirs } else { &mut found }.push(path);
        }
    }
    // Tests may use what they like.
    found.retain(|path| {
        path.file_stem().is_some_and(|name| name != "tests") && !path.to_string_lossy().contains("/tests/")
    });
    assert!(!found.is_empty(), "there is no module {of}");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        (path, code)
    };
    found.into_iter().map(read).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join("../src")
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The modules of this crate that a source names by `crate::`.
fn uses(code: &str) -> Vec<String> {
    code.split("crate::").skip(1).map(first_word).filter(|name| !name.is_empty()).collect()
}

#[test]
fn layers_modules_use_what_the_table_says_and_point_down() {
    let mut below = BTreeSet::new();
    for (module, others) in USES {
        let allowed: BTreeSet<_> = others.split_whitespace().map(str::to_owned).collect();
        for other in &allowed {
            assert!(below.contains(other), "{module} uses {other}, which stands above it");
        }
        below.insert((*module).to_owned());
        if *module == "protocol" {
            continue;
        }
        let mut used = BTreeSet::new();
        for (path, code) in sources(module) {
            assert!(!code.contains("use crate::{"), "{}: one line a module, please", path.display());
            used.extend(uses(&code).into_iter().filter(|used| used != module));
        }
        assert_eq!(used, allowed, "{module}");
    }
    // Every file belongs to a module of the table.
    for (path, _) in sources("../src") {
        let inside = path.strip_prefix(root()).unwrap();
        let name = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let name = name.trim_end_matches(".rs");
        assert!(name == "lib" || below.contains(name), "{} has no layer yet", path.display());
    }
}

/// Files of one folder that import each other in a circle must be read all at once.
#[test]
fn layers_no_files_import_each_other_in_a_circle() {
    for root in ["../src", "../sim/src"] {
        let mut folders = BTreeMap::<PathBuf, BTreeMap<String, BTreeSet<String>>>::new();
        for (path, code) in sources(root) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let imported =
                code.split("super::").skip(1).map(first_word).filter(|other| *other != name).collect();
            folders.entry(path.parent().unwrap().to_owned()).or_default().insert(name, imported);
        }
        for (folder, mut files) in folders {
            // The face of a folder imports all of its files, and they its own items.
            files.remove("mod");
            // Files that import none of those left are taken away, until none are left or a circle is.
            loop {
                let left: BTreeSet<_> = files.keys().cloned().collect();
                let before = files.len();
                files.retain(|_, imported| imported.intersection(&left).next().is_some());
                if files.len() == before {
                    break;
                }
            }
            assert!(files.is_empty(), "{}: {:?} import each other", folder.display(), files.keys());
        }
    }
}

/// The judge is not the judged: the simulator knows the library's vocabulary, and nothing else of it.
#[test]
fn layers_simulator_knows_the_vocabulary_only() {
    for (path, code) in sources("../sim/src") {
        for part in code.split("messenger_handover::").skip(1) {
            let module: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let known = ["id", "secret", "time"].contains(&module.as_str());
            assert!(known, "{} uses messenger_handover::{module}", path.display());
        }
    }
}

#[test]
fn layers_core_knows_nothing_of_the_world() {
    for module in SANS_IO {
        for (path, code) in sources(module) {
            for word in OF_THE_WORLD {
                let known = code.lines().find(|line| line.contains(word));
                // The kind of a host's clock is its own: `time` may name it to convert from it.
                let conversion = module == "time" && word == "SystemTime";
                assert!(known.is_none() || conversion, "{}: {}", path.display(), known.unwrap_or_default());
            }
        }
    }
}

#[test]
fn layers_files_fit_in_mind() {
    for root in ["src", "sim", "tests", "examples", "benches", "checks"] {
        let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(root)];
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let lines = fs::read_to_string(&path).unwrap().lines().count();
                    let limit = if root == "examples" && path.parent() == Some(&dir_of_examples()) {
                        150
                    } else {
                        450
                    };
                    assert!(lines <= limit, "{}: {lines} lines", path.display());
                }
            }
        }
    }
}

fn dir_of_examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}
