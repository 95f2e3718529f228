//! The tests of `docs/simulator.md`, as testers write them: they start the program `messenger-sim` and a bot of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Failed;

use super::install::{self, Tools};

const DOCUMENTATION: &str = include_str!("../../../../docs/simulator.md");

/// The files that the documentation shows, each with the language of its block.
const SHOWN: [(&str, &str); 3] = [
    ("python", include_str!("python/test_bot.py")),
    ("js", include_str!("node/bot.test.js")),
    ("rust", include_str!("../bot.rs")),
];

/// The documentation shows the tests that run here and in `tests/bot.rs`, word for word.
pub fn documented() -> Result<(), Failed> {
    for (language, text) in SHOWN {
        if !DOCUMENTATION.contains(&format!("```{language}\n{text}```\n")) {
            return Err(format!("docs/simulator.md shows another {language} test than this:\n{text}").into());
        }
    }
    Ok(())
}

/// A folder with a program `messenger-sim`. It is this test's own program, which `main` turns into the simulator by its name, so
/// that nothing else has to be built.
pub fn folder_of_program() -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers/bin");
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("messenger-sim");
    match std::fs::remove_file(&program) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::os::unix::fs::symlink(std::env::current_exe()?, program)?,
    }
    Ok(folder)
}

fn with_program(command: &mut Command, folder: &Path) -> Result<(), Failed> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    let loopback = [("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")];
    install::run(command.env("PATH", std::env::join_paths(path)?).envs(loopback))
}

pub fn pytest(tools: &Tools, program: &Path) -> Result<(), Failed> {
    let (python, scripts) = tools.python_packages()?;
    let mut command = Command::new(python);
    // The folder of the sources stays as it is.
    command.args(["-B", "-m", "pytest", "-p", "no:cacheprovider", "test_bot.py"]).current_dir(scripts);
    with_program(&mut command, program)
}

pub fn jest(tools: &Tools, program: &Path) -> Result<(), Failed> {
    let (node, packages) = tools.node_packages()?;
    let mut command = Command::new(node);
    command.args(["node_modules/jest/bin/jest.js", "--ci", "bot.test.js"]).current_dir(packages);
    with_program(&mut command, program)
}
