//! `cargo xtask dist`: the program, what is told about it, both packages and the bundle for a machine without a network.
//!
//! Everything lands in `packages/` in the target folder. What the packages hold is [`stage`]'s; what is told of the crates
//! inside, [`inventory`]'s; the bundle and its signature, [`bundle`]'s. No key is in the repository: who builds names one.

mod bundle;
mod inventory;
mod stage;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::tool::{Done, ask, by_apt, of_cargo, run};

/// What the packages switch on.
pub(crate) const FEATURES: &str = "systemd,manual";
/// The versions that were tried.
const CARGO_DEB: &str = "3.8.0";
const CARGO_GENERATE_RPM: &str = "0.21.1";
/// Newest glibc whose symbols the program may need: RHEL 9 and Ubuntu 22.04 have 2.34 and 2.35.
const NEWEST_GLIBC: (u32, u32) = (2, 34);

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Cargo's profile of the program.
    pub(crate) profile: String,
    /// The version of the packages.
    pub(crate) version: String,
    /// Pack the program as it was built before.
    pub(crate) built: bool,
    /// Private key in PEM that signs the checksums.
    pub(crate) key: Option<PathBuf>,
    /// Name of the key of gpg that signs the RPM package.
    pub(crate) rpm_key: Option<String>,
}

impl Wanted {
    /// Reads the words after `dist`; `None` where they are not understood.
    pub(crate) fn read(words: &[&str]) -> Option<Self> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let built = words.contains(&"--no-build");
        let mut wanted = Self { profile: "dist".to_owned(), version, built, key: None, rpm_key: None };
        let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--no-build").collect();
        for pair in words.chunks(2) {
            match pair {
                ["--profile", profile @ ("dist" | "release" | "dev")] => {
                    wanted.profile = (*profile).to_owned()
                }
                ["--package-version", version] => wanted.version = (*version).to_owned(),
                ["--sign-key", key] => wanted.key = Some(PathBuf::from(key)),
                ["--rpm-key", name] => wanted.rpm_key = Some((*name).to_owned()),
                _ => return None,
            }
        }
        Some(wanted)
    }
}

/// The two packages.
#[derive(Debug, Clone)]
pub(crate) struct Packages {
    /// The Debian package.
    pub(crate) deb: PathBuf,
    /// The RPM package.
    pub(crate) rpm: PathBuf,
}

/// Builds everything; says what it made.
pub(crate) fn run_all(wanted: &Wanted) -> bool {
    match build(wanted)
        .and_then(|packages| bundle::make(&packages, wanted, &folder()).map(|made| (packages, made)))
    {
        Ok((packages, made)) => {
            println!("\n{:>10}  file", "bytes");
            for path in [&packages.deb, &packages.rpm].into_iter().chain(&made) {
                let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
                println!("{bytes:>10}  {}", path.display());
            }
            if wanted.key.is_none() {
                println!(
                    "\nNOT SIGNED: nobody can tell these files from forged ones. To sign: --sign-key KEY.pem"
                );
            }
            true
        }
        Err(error) => {
            eprintln!("dist: {error}");
            false
        }
    }
}

/// Builds the program and packs it twice.
pub(crate) fn build(wanted: &Wanted) -> Done<Packages> {
    by_apt(&[("dpkg-shlibdeps", "dpkg-dev"), ("rpm", "rpm"), ("objdump", "binutils"), ("gzip", "gzip")])?;
    if wanted.built {
        return pack(wanted);
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(cargo);
    build.current_dir(crate::root()).args(["build", "--package", "isthmus", "--features", FEATURES]);
    // What check-ins tell of the program; empty outside a checkout, which they tell as unknown. Only of what is shipped: another
    // commit is another program, and checks would compile it twice.
    if wanted.profile == "dist" {
        build.env("ISTHMUS_COMMIT", commit());
    }
    run(build.args(["--profile", &wanted.profile]))?;
    pack(wanted)
}

/// Packs the program that was built.
pub(crate) fn pack(wanted: &Wanted) -> Done<Packages> {
    let profile = if wanted.profile == "dev" { "debug" } else { &wanted.profile };
    let program = target().join(profile).join("isthmus");
    floor(&program)?;
    let out = folder();
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let inventory = inventory::take(wanted)?;
    stage::fill(&program, &inventory, wanted)?;
    pack_staged(wanted)
}

/// Where what the packages hold is gathered.
pub(crate) fn staged() -> PathBuf {
    target().join("release/package")
}

/// Packs what was gathered, as it lies there now.
pub(crate) fn pack_staged(wanted: &Wanted) -> Done<Packages> {
    let out = folder();
    let deb = out.join(format!("isthmus_{}-1_{}.deb", wanted.version, architecture("amd64", "arm64")?));
    let rpm = out.join(format!("isthmus-{}-1.{}.rpm", wanted.version, architecture("x86_64", "aarch64")?));
    let date = commit_seconds();

    // What is not shipped is packed loosely: minutes less.
    let shipped = wanted.profile == "dist";
    let mut command = Command::new(of_cargo("cargo-deb", CARGO_DEB, &target())?);
    command.current_dir(crate::root()).args(["--package", "isthmus", "--no-build", "--no-strip", "--quiet"]);
    command.args((!shipped).then_some("--fast"));
    command.args([
        "--no-dbgsym",
        "--no-separate-debug-symbols",
        "--deb-version",
        &format!("{}-1", wanted.version),
    ]);
    run(command.arg("--output").arg(&deb).env("SOURCE_DATE_EPOCH", &date))?;

    let mut command = Command::new(of_cargo("cargo-generate-rpm", CARGO_GENERATE_RPM, &target())?);
    command.current_dir(crate::root()).args(["--package", "daemon", "--set-metadata"]);
    command.arg(format!("version = \"{}\"", wanted.version)).arg("--target-dir").arg(target());
    if !shipped {
        command.args(["--payload-compress", "none"]);
    }
    run(command.arg("--output").arg(&rpm).env("SOURCE_DATE_EPOCH", &date))?;
    if let Some(name) = &wanted.rpm_key {
        by_apt(&[("rpmsign", "rpm"), ("gpg", "gnupg")])?;
        run(&mut rpm_signing(name, &rpm))?;
    }
    Ok(Packages { deb, rpm })
}

/// What puts a signature into an RPM package, under the key that gpg has of this name.
pub(crate) fn rpm_signing(name: &str, rpm: &Path) -> Command {
    let mut command = Command::new("rpmsign");
    // Debian has no gpg2, which rpm asks for unless it is told otherwise.
    command.args(["--define", "__gpg /usr/bin/gpg", "--define", &format!("_gpg_name {name}")]);
    command.arg("--addsign").arg(rpm);
    command
}

/// Refuses a program that needs a newer glibc than the systems that it is for have, and says which it needs.
fn floor(program: &Path) -> Done {
    let symbols = ask(Command::new("objdump").arg("-T").arg(program))?;
    let (major, minor) = needs(&symbols);
    println!("  needs glibc {major}.{minor}: Debian 12, Ubuntu 22.04 and RHEL 9, or newer");
    if (major, minor) > NEWEST_GLIBC {
        let (most, least) = NEWEST_GLIBC;
        return Err(format!(
            "the program needs glibc {major}.{minor}, and RHEL 9 has {most}.{least}: build it on Debian 12"
        ));
    }
    Ok(())
}

/// The newest version of glibc that a table of dynamic symbols asks for.
fn needs(symbols: &str) -> (u32, u32) {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
        let mut numbers = rest[..end].split('.').map(|number| number.parse().unwrap_or(0));
        Some((numbers.next()?, numbers.next()?))
    });
    versions.max().unwrap_or_default()
}

/// The name that packages have for this machine's architecture.
fn architecture(amd64: &'static str, arm64: &'static str) -> Done<&'static str> {
    match env::consts::ARCH {
        "x86_64" => Ok(amd64),
        "aarch64" => Ok(arm64),
        other => Err(format!("no package is built for {other}")),
    }
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from)
}

/// Where packages go.
pub(crate) fn folder() -> PathBuf {
    target().join("packages")
}

/// The commit that is built, with `-dirty` where files differ from it; empty outside a checkout.
fn commit() -> String {
    let words = ["describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"];
    let told = ask(Command::new("git").current_dir(crate::root()).args(words));
    told.map_or_else(|_| String::new(), |told| told.trim().to_owned())
}

/// When the commit that is built was made, in seconds since 1970: the same source gives the same package.
fn commit_seconds() -> String {
    let told = ask(Command::new("git").current_dir(crate::root()).args(["log", "-1", "--format=%ct"]));
    told.map_or_else(|_| "0".to_owned(), |told| told.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_counts_by_number_and_not_by_letter() {
        let symbols = "0 DF *UND* 0 (GLIBC_2.9) qsort\n0 DF *UND* 0 (GLIBC_2.34) __libc_start_main\n\
                       0 DF *UND* 0 (GLIBC_2.2.5) free\n";
        assert_eq!(needs(symbols), (2, 34));
        assert_eq!(needs("nothing"), (0, 0));
    }

    #[test]
    fn words_are_read_and_others_refused() {
        let wanted = Wanted::read(&["--profile", "release", "--sign-key", "k.pem"]).unwrap();
        assert_eq!((wanted.profile.as_str(), wanted.key), ("release", Some(PathBuf::from("k.pem"))));
        assert_eq!(Wanted::read(&[]).unwrap().profile, "dist");
        for words in [&["--profile"][..], &["--profile", "fast"], &["--key", "k"]] {
            assert_eq!(Wanted::read(words), None, "{words:?}");
        }
    }
}
