//! The Debian package in a chroot: in, up, down, out, away.

use std::path::Path;

use super::{Pair, Table, root::Root, says};
use crate::tool::Done;

/// What a person wrote into the configuration.
pub(super) const MINE: &str = "# A line of the hospital's own.";
/// The store, as far as a package sees it.
pub(super) const DATA: &str = "var/lib/isthmus/isthmus.db";

pub(super) fn run(base: &Path, pair: &Pair, table: &mut Table) -> Done {
    let root = Root::copy(base, "deb")?;
    let (old, new) = (root.receive(&pair.old.deb)?, root.receive(&pair.new.deb)?);
    let mut see = |what, done| table.see("deb", what, done);

    let installed = root.shell(&format!("dpkg -i {old}"));
    see("a first install says what comes next", installed.and_then(|told| says(&told, "Next: isthmus init")));
    let owners = "stat -c '%U:%G %a %n' /etc/isthmus /etc/isthmus/sites.d /var/lib/isthmus";
    let wanted = "root:isthmus 2750 /etc/isthmus\nroot:isthmus 2750 /etc/isthmus/sites.d\nisthmus:isthmus 700 /var/lib/isthmus";
    see("folders have their owners", root.shell(owners).and_then(|told| says(&told, wanted)));
    see(
        "the service is enabled",
        root.shell("systemctl is-enabled isthmus").and_then(|told| says(&told, "enabled")),
    );
    see("the pages of man and the licences are there", root.has("usr/share/man/man1/isthmus.1.gz"));
    let check = "isthmus check; echo code $?";
    see("without a key nothing is good", root.shell(check).and_then(|told| says(&told, "isthmus init")));
    see(
        "init makes what is missing",
        root.shell("isthmus init").and_then(|told| says(&told, "left as it is")),
    );
    see("the configuration that ships is good", root.shell(check).and_then(|told| says(&told, "code 0")));

    root.append("etc/isthmus/isthmus.toml", MINE)?;
    let store = format!("install -o isthmus -g isthmus -m 600 /dev/null /{DATA}");
    root.shell(&store)?;
    let upgraded = root.shell(&format!("dpkg --force-confdef --force-confold -i {new}"));
    see("an upgrade", upgraded.and_then(|_| root.shell("dpkg-query -W -f='${Version} ${Status}' isthmus")));
    see(
        "what a person wrote stays",
        root.read("etc/isthmus/isthmus.toml").and_then(|text| says(&text, MINE)),
    );
    see("what the new version says lies beside it", root.has("etc/isthmus/isthmus.toml.dpkg-dist"));
    let back = root.shell(&format!("dpkg --force-confdef --force-confold -i {old}"));
    see("a downgrade", back.and_then(|_| root.shell("dpkg-query -W -f='${Version} ${Status}' isthmus")));
    see(
        "what a person wrote stays at a downgrade",
        root.read("etc/isthmus/isthmus.toml").and_then(|text| says(&text, MINE)),
    );

    see("a removal", root.shell("dpkg -r isthmus").and_then(|_| root.has_not("usr/bin/isthmus")));
    see("configuration stays at a removal", root.has("etc/isthmus/isthmus.toml"));
    see(
        "a purge says where the data stays",
        root.shell("dpkg -P isthmus").and_then(|told| says(&told, "patient data stays in /var/lib/isthmus")),
    );
    see("configuration goes at a purge", root.has_not("etc/isthmus/isthmus.toml"));
    see("data stays at a purge", root.has(DATA));
    let key = root.has("etc/isthmus/store-key.cred").or_else(|_| root.has("etc/isthmus/store.key"));
    see("its key stays at a purge", key);
    see("the owner of both stays", root.shell("id isthmus"));
    Ok(())
}
