//! What vouches for the packages: the signature of the RPM package, under a key made for this and thrown away, and the bill of
//! materials, by the schema of CycloneDX.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Pair, Table, says};
use crate::{
    dist,
    tool::{Done, ask},
};

/// Who signs here.
const SIGNER: &str = "Isthmus, a trial";
/// The judge of the bill of materials, from PyPI, in the version that was tried.
const JUDGE: &str = "cyclonedx-python-lib[json-validation]==11.12.0";
/// What it is asked.
const QUESTION: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())
print(fault or 'valid CycloneDX 1.5')
sys.exit(1 if fault else 0)
";

pub(super) fn run(_base: &Path, pair: &Pair, table: &mut Table) -> Done {
    let folder = fresh("papers")?;
    let mut see = |what, done| table.see("papers", what, done);
    let unsigned = keys(&folder, &pair.old.rpm);
    see(
        "an RPM package that nobody signed is not said to be signed",
        unsigned.and_then(|told| match told.contains("signatures OK") {
            true => Err(told),
            false => says(&told, "digests OK"),
        }),
    );
    let signed = sign(&folder, &pair.old.rpm);
    see(
        "an RPM package that was signed is known by the key",
        signed.and_then(|told| says(&told, "signatures OK")),
    );
    let forged = forge(&folder);
    // gpg left its agent running, for this folder alone.
    ask(Command::new("gpgconf").arg("--homedir").arg(&folder).args(["--kill", "gpg-agent"]))?;
    see("one that was changed after that is refused", forged.and_then(|told| says(&told, "NOT OK")));
    see("the bill of materials is valid", judged(&folder));
    Ok(())
}

/// An empty folder beside the systems.
fn fresh(name: &str) -> Done<PathBuf> {
    let path = dist::target().join("verify").join(name);
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    if path.exists() {
        fs::remove_dir_all(&path).map_err(fault)?;
    }
    fs::create_dir_all(&path).map_err(fault)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(fault)?;
    Ok(path)
}

/// What rpm says of a package, with the keys that it was told of; also where that is a refusal.
fn keys(folder: &Path, rpm: &Path) -> Done<String> {
    let mut command = Command::new("rpmkeys");
    command.arg("--dbpath").arg(folder.join("rpmdb")).arg("--checksig").arg(rpm).env("LC_ALL", "C");
    let output = command.output().map_err(|error| format!("rpmkeys: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().replace(&format!("{}: ", rpm.display()), ""))
}

/// Makes a key, signs a copy with it as `cargo xtask dist --rpm-key` does, and asks rpm, which was told of the key.
fn sign(folder: &Path, rpm: &Path) -> Done<String> {
    let gpg = || {
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(folder).arg("--batch");
        gpg
    };
    ask(gpg().args(["--passphrase", "", "--quick-generate-key", SIGNER, "rsa3072", "sign", "1d"]))?;
    let public = folder.join("public.asc");
    ask(gpg().args(["--armor", "--export", "--output"]).arg(&public).arg(SIGNER))?;
    let copy = folder.join("signed.rpm");
    fs::copy(rpm, &copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    ask(dist::rpm_signing(SIGNER, &copy).env("GNUPGHOME", folder))?;
    ask(Command::new("rpmkeys").arg("--dbpath").arg(folder.join("rpmdb")).arg("--import").arg(&public))?;
    keys(folder, &copy)
}

/// Changes one byte near the end of the signed one.
fn forge(folder: &Path) -> Done<String> {
    let (signed, forged) = (folder.join("signed.rpm"), folder.join("forged.rpm"));
    let fault = |error: std::io::Error| format!("{}: {error}", forged.display());
    let mut bytes = fs::read(signed).map_err(fault)?;
    let place = bytes.len().saturating_sub(1_000);
    bytes[place] ^= 1;
    fs::write(&forged, bytes).map_err(fault)?;
    keys(folder, &forged)
}

/// Asks a validator that was not written here.
fn judged(folder: &Path) -> Done<String> {
    let environment = folder.join("python");
    ask(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    ask(Command::new(environment.join("bin/pip")).args(["install", "--quiet", JUDGE]))?;
    let bom = dist::staged().join("both/usr/share/doc/isthmus/isthmus.cdx.json");
    ask(Command::new(environment.join("bin/python")).args(["-c", QUESTION]).arg(bom))
        .map(|told| told.trim().to_owned())
}
