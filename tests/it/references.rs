//! References in comments and documents lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// All files below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("corpus") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
                found.push(path);
            }
        }
    }
    found
}

fn all() -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for folder in ["src", "sim", "tests", "examples", "checks", "benches", "docs", "fuzz/fuzz_targets"] {
        all.extend(files(folder, &["rs", "md"]));
    }
    all.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)));
    all.retain(|path| path.file_name().is_some_and(|name| name != "references.rs"));
    all.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The anchors of a document's headings, as GitHub and rustdoc make them.
fn anchors(document: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs").join(document)).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| -> String {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn references_to_sections_of_documents_lead_to_a_heading() {
    let mut checked = 0;
    for (path, text) in all() {
        for document in
            ["protocol", "correctness", "operations", "simulator", "stores", "performance", "architecture"]
        {
            let known = anchors(&format!("{document}.md"));
            for mark in [
                format!("{document}.md#"),
                format!("crate::{document}#"),
                format!("messenger_handover::{document}#"),
            ] {
                for rest in text.split(&mark).skip(1) {
                    let anchor: String =
                        rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
                    assert!(known.contains(&anchor), "{}: {mark}{anchor} leads nowhere", path.display());
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} references were found");
}

#[test]
fn references_name_no_document_that_is_not_here() {
    for (path, text) in all() {
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for mark in ["facts §", "facts-2026", "design §", "design.md", "seed page"] {
                assert!(!lower.contains(mark), "{}:{}: {mark}", path.display(), number + 1);
            }
        }
    }
}

/// A document names only files that exist, by any end of their path.
#[test]
fn references_to_source_files_lead_to_a_file() {
    let all = all();
    let mut checked = 0;
    for (path, text) in all.iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending == "md")) {
        // Every second piece between backticks is code.
        for name in text.split('`').skip(1).step_by(2) {
            let is_rust = Path::new(name).extension().is_some_and(|ending| ending == "rs");
            let is_file = is_rust && name.chars().all(|c| c.is_alphanumeric() || "._/-".contains(c));
            if !is_file {
                continue;
            }
            let is_here = root().join(name).exists() || all.iter().any(|(file, _)| file.ends_with(name));
            assert!(is_here, "{}: there is no {name}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} names were found");
}
