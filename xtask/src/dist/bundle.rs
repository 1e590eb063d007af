//! The bundle for a machine without a network: both packages, the bill of materials, the licences, how to install, checksums,
//! and their signature where a key was named. What checks it, `sha256sum` and `openssl`, is on every system that it is for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Packages, Wanted, commit_seconds, staged};
use crate::tool::{Done, ask, run};

/// Makes the bundle in `out`, and gives back what it made beside the packages.
pub(super) fn make(packages: &Packages, wanted: &Wanted, out: &Path) -> Done<Vec<PathBuf>> {
    let name = format!("isthmus-{}-bundle", wanted.version);
    let folder = out.join(&name);
    let fault = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| fault(&folder, error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| fault(&folder, error))?;
    let doc = staged().join("both/usr/share/doc/isthmus");
    let mut names = Vec::new();
    let mut put = |from: &Path, name: String| {
        fs::copy(from, folder.join(&name)).map_err(|error| fault(from, error))?;
        names.push(name);
        Ok::<(), String>(())
    };
    for package in [&packages.deb, &packages.rpm] {
        put(package, package.file_name().unwrap_or_default().to_string_lossy().into_owned())?;
    }
    put(&doc.join("isthmus.cdx.json"), format!("isthmus-{}.cdx.json", wanted.version))?;
    put(&doc.join("THIRD-PARTY-LICENSES.txt.gz"), "THIRD-PARTY-LICENSES.txt.gz".to_owned())?;

    let mut how =
        fs::read_to_string(crate::root().join("packaging/INSTALL")).map_err(|error| fault(&folder, error))?;
    if wanted.key.is_none() {
        how.insert_str(
            0,
            "NOT SIGNED: nobody can tell this bundle from a forged one. For trying out alone.\n\n",
        );
    }
    fs::write(folder.join("INSTALL"), how).map_err(|error| fault(&folder, error))?;
    names.push("INSTALL".to_owned());
    let sums = ask(Command::new("sha256sum").current_dir(&folder).arg("--").args(&names))?;
    fs::write(folder.join("SHA256SUMS"), sums).map_err(|error| fault(&folder, error))?;
    if let Some(key) = &wanted.key {
        sign(&folder, key, out)?;
    }
    let bundle = out.join(format!("{name}.tar"));
    let mut tar = Command::new("tar");
    tar.args(["--create", "--owner=0", "--group=0", "--numeric-owner", "--sort=name"]);
    tar.arg(format!("--mtime=@{}", commit_seconds())).arg("--file").arg(&bundle);
    run(tar.arg("--directory").arg(out).arg(&name))?;
    Ok(vec![bundle, folder.join("SHA256SUMS")])
}

/// Signs the checksums, and checks the signature as who receives it will.
fn sign(folder: &Path, key: &Path, out: &Path) -> Done {
    let (sums, signature) = (folder.join("SHA256SUMS"), folder.join("SHA256SUMS.sig"));
    let public = out.join("isthmus-release.pub");
    let openssl = || Command::new("openssl");
    ask(openssl().args(["dgst", "-sha256", "-sign"]).arg(key).arg("-out").arg(&signature).arg(&sums))?;
    ask(openssl().args(["pkey", "-pubout", "-in"]).arg(key).arg("-out").arg(&public))?;
    let mut verify = openssl();
    verify.args(["dgst", "-sha256", "-verify"]).arg(&public).arg("-signature").arg(&signature);
    run(verify.arg(&sums))
}
