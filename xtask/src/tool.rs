//! Programs of other people: run in full view, asked quietly, installed where they are missing.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A thing done, or why not, for people.
pub(crate) type Done<T = ()> = Result<T, String>;

/// Runs a program in full view.
pub(crate) fn run(command: &mut Command) -> Done {
    println!("  $ {}", words(command));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", words(command))),
        Err(error) => Err(format!("{}: {error}", words(command))),
    }
}

/// Runs a program and gives back what it printed; its complaint where it failed.
pub(crate) fn ask(command: &mut Command) -> Done<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", words(command)))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(told);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}\n{told}{complaint}", words(command), output.status))
}

/// The program by its file name, and its words.
fn words(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a program of this name is there.
pub(crate) fn is_there(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(name).is_file())
}

/// Installs what is missing by apt: the name of a program, and of the package that has it.
pub(crate) fn by_apt(wanted: &[(&str, &str)]) -> Done {
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_there("apt-get") {
        return Err(format!("missing, and there is no apt-get to install them: {}", missing.join(" ")));
    }
    let apt = |words: &[&str]| {
        let sudo = (!is_root()).then_some("sudo");
        let line: Vec<&str> = sudo.into_iter().chain(["apt-get"]).chain(words.iter().copied()).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command)
    };
    apt(&["update", "-qq"])?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&[&install[..], &missing[..]].concat())
}

/// Whether this user is root.
pub(crate) fn is_root() -> bool {
    ask(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// A tool of cargo in exactly this version: the one on the path where it is that, else one that is built once, in
/// `tools` in the target folder.
pub(crate) fn of_cargo(name: &str, version: &str, target: &Path) -> Done<PathBuf> {
    let is_it = |program: &Path| {
        let told = ask(Command::new(program).arg("--version"));
        told.is_ok_and(|told| told.split_whitespace().any(|word| word == version))
    };
    let (ours, root) = (target.join("tools/bin").join(name), target.join("tools"));
    if let Some(found) = [PathBuf::from(name), ours.clone()].into_iter().find(|program| is_it(program)) {
        return Ok(found);
    }
    let mut install = Command::new("cargo");
    install.args(["install", "--locked", "--quiet", "--version", version, name, "--root"]).arg(&root);
    // A folder of its own, so that the tools do not rebuild the program's crates.
    run(install.env("CARGO_TARGET_DIR", root.join("build")))?;
    Ok(ours)
}
