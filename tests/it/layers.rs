//! Dependencies point down only (docs/architecture.md), and the judge is not the judged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate, and what it may use of the others.
const MAY_USE: &[(&str, &str)] = &[
    ("time", ""),
    ("skew", "time"),
    ("tls", ""),
    ("id", ""),
    ("secret", ""),
    ("shown", ""),
    ("call", "id shown time"),
    ("event", "id shown time"),
    ("policy", ""),
    ("retry", "call time"),
    ("thread", "call event id policy retry time"),
    ("control", "call id time"),
    ("store/mod", "id thread time"),
    ("store/memory", "id thread time"),
    ("store/record", "id thread"),
    ("store/row", "id time"),
    ("store/sqlite", "id store time"),
    ("store/postgres", "id secret store time"),
    ("store/redis", "id secret store time"),
    ("store/conformance", "call id policy store thread time"),
    // The ports come first, the service stands on them, and the edges stand on the service.
    ("bots_api/mod", "call control"),
    ("bots_api/request", "call id"),
    ("bots_api/client", "call control engage graph id secret"),
    ("bots_api/server", "call handover id secret store thread throttle"),
    ("engage/mod", ""),
    ("engage/json", "time"),
    ("engage/resource", "time"),
    ("engage/domain", "call control graph secret"),
    ("engage/api", "call control id"),
    ("engage/event", "secret shown time webhook"),
    ("engage/server", "handover id secret thread throttle webhook"),
    ("engage/directory", "call handover id"),
    ("graph", "call control id secret skew time tls"),
    ("doctor", "call control graph id policy thread time"),
    ("handover", "bots_api call control event id policy retry skew store thread throttle time"),
    ("throttle", ""),
    ("webhook/mod", ""),
    ("webhook/body", "event id time"),
    ("webhook/envelope", "event id"),
    ("webhook/handshake", "secret"),
    ("webhook/item", "event id shown time"),
    ("webhook/json", ""),
    ("webhook/ordinary", "event id time"),
    ("webhook/signature", "secret"),
    ("webhook/server", "handover id secret throttle"),
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

/// The modules of this crate that a source names by `crate::`.
fn uses(code: &str) -> Vec<String> {
    let parts = code.split("crate::").skip(1);
    let name = |part: &str| part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    parts.map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn imports_point_down_only() {
    let may_use: BTreeMap<_, Vec<_>> =
        MAY_USE.iter().map(|(module, others)| (*module, others.split(' ').collect())).collect();
    for (module, others) in &may_use {
        for (path, code) in sources(module) {
            for used in uses(&code) {
                let itself = module.split('/').next() == Some(used.as_str()) && !module.contains('/');
                assert!(
                    itself || others.contains(&used.as_str()),
                    "{} uses crate::{used}, which {module} may not",
                    path.display()
                );
            }
            assert!(!code.contains("use crate::{"), "{}: one line a module, please", path.display());
        }
    }
}

/// The judge is not the judged: the simulator knows the library's vocabulary, and nothing else of it.
#[test]
fn the_simulator_knows_the_vocabulary_only() {
    for (path, code) in sources("../sim/src") {
        for part in code.split("messenger_handover::").skip(1) {
            let module: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let known = ["id", "secret", "time"].contains(&module.as_str());
            assert!(known, "{} uses messenger_handover::{module}", path.display());
        }
    }
}

#[test]
fn every_module_has_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let known = MAY_USE.iter().any(|(module, _)| module.split('/').next() == Some(&name));
        assert!(known || name == "lib", "{name} has no layer yet");
    }
}

#[test]
fn below_the_line_nothing_knows_of_the_world() {
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
fn no_file_is_too_long_to_hold_in_mind() {
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
