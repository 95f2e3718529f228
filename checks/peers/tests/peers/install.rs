//! Finds the tools that run the peers, and installs their packages once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::Failed;

#[derive(Debug, Clone)]
pub struct Tools {
    node: Option<PathBuf>,
    npm: Option<PathBuf>,
    python: Option<PathBuf>,
    chromium: Option<PathBuf>,
    chromedriver: Option<PathBuf>,
    /// Whether a missing Node or Python is a failure.
    required: bool,
}

/// Serializes installations of the packages of Python.
static PYTHON_INSTALLING: Mutex<()> = Mutex::new(());
/// Whether this run has installed the packages of Node. Once is enough, and a script must not be written again while
/// another peer reads it.
static NODE_INSTALLED: Mutex<bool> = Mutex::new(false);

fn find(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Runs a command to its end, which must be good.
pub fn run(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(format!("{command:?}: {}\n{out}\n{err}", output.status).into())
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Tools {
    pub fn find() -> Self {
        Self {
            node: find("node"),
            npm: find("npm"),
            python: find("python3"),
            chromium: find("chromium"),
            chromedriver: find("chromedriver"),
            required: std::env::var_os("HANDOVER_REQUIRE_PEERS").is_some(),
        }
    }

    pub fn has_node(&self) -> bool {
        self.required || self.node.is_some() && self.npm.is_some()
    }

    pub fn has_python(&self) -> bool {
        self.required || self.python.is_some()
    }

    pub fn has_browser(&self) -> bool {
        self.chromium.is_some() && self.chromedriver.is_some()
    }

    pub fn browser(&self) -> Result<(PathBuf, PathBuf), Failed> {
        let both = self.chromium.clone().zip(self.chromedriver.clone());
        both.ok_or_else(|| "chromium or chromedriver is missing".into())
    }

    /// Node, and the folder of the scripts with installed packages.
    pub fn node_packages(&self) -> Result<(PathBuf, PathBuf), Failed> {
        let mut installed = NODE_INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        let (node, npm) = self.node.clone().zip(self.npm.clone()).ok_or("node or npm is missing")?;
        let there = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers/node");
        if *installed {
            return Ok((node, there));
        }
        let lock = fs::read(sources().join("node/package-lock.json"))?;
        let fresh = fs::read(there.join("installed.json")).is_ok_and(|installed| installed == lock);
        copy(&sources().join("node"), &there)?;
        if !fresh {
            // One package has an install script that would download a program.
            let options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
            run(Command::new(npm).args(options).current_dir(&there))?;
            fs::write(there.join("installed.json"), lock)?;
        }
        *installed = true;
        Ok((node, there))
    }

    /// Python with its packages, and the folder of the scripts.
    pub fn python_packages(&self) -> Result<(PathBuf, PathBuf), Failed> {
        let _one = PYTHON_INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        let python = self.python.clone().ok_or("python3 is missing")?;
        let there = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers/python");
        let own = there.join("bin/python");
        let [wanted, alone] =
            ["requirements.txt", "rasa.txt"].map(|name| sources().join("python").join(name));
        let lock = [fs::read(&wanted)?, fs::read(&alone)?].concat();
        if !fs::read(there.join("installed.txt")).is_ok_and(|installed| installed == lock) {
            run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&there))?;
            let pip = || {
                let mut pip = Command::new(&own);
                pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
                pip
            };
            run(pip().arg("-r").arg(&wanted))?;
            // Rasa names older versions of Python, for the sake of dependencies that are not installed.
            run(pip().args(["--no-deps", "--ignore-requires-python", "-r"]).arg(&alone))?;
            fs::write(there.join("installed.txt"), lock)?;
        }
        Ok((own, sources().join("python")))
    }
}
