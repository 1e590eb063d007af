//! What the packages hold, file by file: gathered in a folder each, `both`, `deb` and `rpm`, that the two tables of assets in
//! `daemon/Cargo.toml` take as they are. The unit, its user and its folders are packed from `packaging/systemd` itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Wanted, commit_seconds, inventory::Inventory, staged};
use crate::tool::{Done, ask, run};

/// Documents at the root of the repository.
const DOCUMENTS: [&str; 4] = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"];
/// Where documents go.
const DOC: &str = "usr/share/doc/isthmus";

/// A package's files, below a folder of its own.
struct Stage(PathBuf);

impl Stage {
    /// A file with these bytes.
    fn write(&self, place: &str, bytes: &[u8]) -> Done {
        let path = self.0.join(place);
        let parent = path.parent().unwrap_or(&self.0);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, bytes));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A copy of a file of the repository.
    fn copy(&self, place: &str, from: &Path) -> Done {
        let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
        self.write(place, &bytes)
    }

    /// Copies of a folder's files, and of those in its folders.
    fn copy_all(&self, place: &str, from: &Path) -> Done {
        let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
        for entry in entries.flatten() {
            let place = format!("{place}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.copy_all(&place, &entry.path())?;
            } else {
                self.copy(&place, &entry.path())?;
            }
        }
        Ok(())
    }

    /// The same, packed, without name and time.
    fn pack(&self, place: &str, bytes: &[u8]) -> Done {
        self.write(place, bytes)?;
        run(Command::new("gzip").args(["-9nf"]).arg(self.0.join(place)))
    }
}

/// Fills the folders anew.
pub(super) fn fill(program: &Path, inventory: &Inventory, wanted: &Wanted) -> Done {
    let root = staged();
    match fs::remove_dir_all(&root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", root.display()));
        }
        _ => {}
    }
    let [both, deb, rpm] = ["both", "deb", "rpm"].map(|name| Stage(root.join(name)));
    let source = crate::root();

    both.copy("usr/bin/isthmus", program)?;
    run(Command::new("chmod").arg("755").arg(both.0.join("usr/bin/isthmus")))?;
    // The table of symbols stays, for the names of functions in a panic; other profiles bring more.
    run(Command::new("strip").arg("--strip-debug").arg(both.0.join("usr/bin/isthmus")))?;
    both.copy("etc/isthmus/isthmus.toml", &source.join("etc/isthmus.toml"))?;
    both.copy("etc/isthmus/sites.d/main.toml", &source.join("etc/sites.d/example.toml"))?;
    for name in DOCUMENTS {
        both.copy(&format!("{DOC}/{name}"), &source.join(name))?;
    }
    both.copy_all(&format!("{DOC}/docs"), &source.join("docs"))?;
    both.copy_all(&format!("{DOC}/examples"), &source.join("etc"))?;
    both.copy(
        &format!("{DOC}/examples/systemd-249.conf"),
        &source.join("packaging/systemd/systemd-249.conf"),
    )?;
    both.write(&format!("{DOC}/isthmus.cdx.json"), inventory.bom.as_bytes())?;
    both.pack(&format!("{DOC}/THIRD-PARTY-LICENSES.txt"), inventory.licenses.as_bytes())?;
    manual(program, &[&both, &deb, &rpm], &root)?;

    deb.pack(&format!("{DOC}/changelog.Debian"), changelog(wanted)?.as_bytes())?;
    deb.copy("usr/share/lintian/overrides/isthmus", &source.join("packaging/deb/lintian-overrides"))?;
    rpm.copy("usr/share/licenses/isthmus/LICENSE", &source.join("LICENSE"))
}

/// The pages of man and the completions, which the program makes of its own command line.
fn manual(program: &Path, [both, deb, rpm]: &[&Stage; 3], root: &Path) -> Done {
    let made = root.join("manual");
    ask(Command::new(program).arg("manual").arg("--out").arg(&made))?;
    let read = |name: &str| fs::read(made.join(name)).map_err(|error| format!("{name}: {error}"));
    let pages = fs::read_dir(made.join("man")).map_err(|error| format!("man: {error}"))?;
    for page in pages.flatten() {
        let name = page.file_name().to_string_lossy().into_owned();
        both.write(&format!("usr/share/man/man1/{name}"), &read(&format!("man/{name}"))?)?;
    }
    let man = both.0.join("usr/share/man/man1");
    ask(Command::new("gzip").args(["-9nr"]).arg(&man))?;
    both.write("usr/share/bash-completion/completions/isthmus", &read("completions/isthmus.bash")?)?;
    both.write("usr/share/fish/vendor_completions.d/isthmus.fish", &read("completions/isthmus.fish")?)?;
    let zsh = read("completions/_isthmus")?;
    deb.write("usr/share/zsh/vendor-completions/_isthmus", &zsh)?;
    rpm.write("usr/share/zsh/site-functions/_isthmus", &zsh)
}

/// The changelog that a Debian package must have; what changed is told in ours.
fn changelog(wanted: &Wanted) -> Done<String> {
    let date = ask(Command::new("date").args(["-R", "-u", "-d", &format!("@{}", commit_seconds())]))?;
    Ok(format!(
        "isthmus ({}-1) stable; urgency=medium\n\n  * What changed: /usr/share/doc/isthmus/CHANGELOG.md\n\n -- The Isthmus \
         maintainers <maintainers@isthmus.invalid>  {}\n",
        wanted.version,
        date.trim()
    ))
}
