//! The RPM package with a folder as its root: in, up, down, out. The scripts run in that folder.

use std::{path::Path, process::Command};

use super::{
    Pair, Table,
    deb::{DATA, MINE},
    root::Root,
    says,
};
use crate::tool::{Done, ask};

pub(super) fn run(base: &Path, pair: &Pair, table: &mut Table) -> Done {
    let root = Root::copy(base, "rpm")?;
    // What the package needs is there as Debian's packages, of which rpm knows nothing.
    let rpm = |words: &[&str], package: &str| {
        let mut command = Command::new("rpm");
        command.arg("--root").arg(root.path()).args(words).arg(package).env("LC_ALL", "C");
        ask(&mut command)
    };
    let (old, new) = (pair.old.rpm.to_string_lossy(), pair.new.rpm.to_string_lossy());
    ask(Command::new("rpm").arg("--root").arg(root.path()).arg("--initdb"))?;
    let mut see = |what, done| table.see("rpm", what, done);

    let installed = rpm(&["-i", "--nodeps"], &old);
    see("a first install says what comes next", installed.and_then(|told| says(&told, "Next: isthmus init")));
    let owners = "stat -c '%U:%G %a %n' /etc/isthmus /var/lib/isthmus";
    let wanted = "root:isthmus 2750 /etc/isthmus\nisthmus:isthmus 700 /var/lib/isthmus";
    see("folders have their owners", root.shell(owners).and_then(|told| says(&told, wanted)));
    see(
        "the service is enabled",
        root.shell("systemctl is-enabled isthmus").and_then(|told| says(&told, "enabled")),
    );
    see(
        "init makes what is missing",
        root.shell("isthmus init").and_then(|told| says(&told, "left as it is")),
    );
    see("the configuration that ships is good", root.shell("isthmus check"));

    root.append("etc/isthmus/isthmus.toml", MINE)?;
    root.shell(&format!("install -o isthmus -g isthmus -m 600 /dev/null /{DATA}"))?;
    see("an upgrade", rpm(&["-U", "--nodeps"], &new).and_then(|_| rpm(&["-q"], "isthmus")));
    see(
        "what a person wrote stays",
        root.read("etc/isthmus/isthmus.toml").and_then(|text| says(&text, MINE)),
    );
    see("what the new version says lies beside it", root.has("etc/isthmus/isthmus.toml.rpmnew"));
    see("the service is enabled after an upgrade", root.shell("systemctl is-enabled isthmus"));
    see("a downgrade", rpm(&["-U", "--nodeps", "--oldpackage"], &old).and_then(|_| rpm(&["-q"], "isthmus")));
    see(
        "what a person wrote stays at a downgrade",
        root.read("etc/isthmus/isthmus.toml").and_then(|text| says(&text, MINE)),
    );

    let removed = rpm(&["-e", "--nodeps"], "isthmus");
    see(
        "a removal says where the data stays",
        removed.and_then(|told| says(&told, "patient data stays in /var/lib/isthmus")),
    );
    see("the program is gone", root.has_not("usr/bin/isthmus"));
    see("what a person wrote is kept aside", root.has("etc/isthmus/isthmus.toml.rpmsave"));
    see("data stays", root.has(DATA));
    see(
        "its key stays",
        root.has("etc/isthmus/store-key.cred").or_else(|_| root.has("etc/isthmus/store.key")),
    );
    Ok(())
}
