//! What is inside the program: a bill of materials in CycloneDX 1.5 (JSON) and the licences of everything in it, with their
//! texts.
//!
//! Both are told by cargo itself (`cargo tree`, `Cargo.lock`) and by the sources that it built, so neither needs a network or
//! another tool. What no tool for crates would name is named too: the libraries in C that crates bring and build.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{FEATURES, Wanted, commit_seconds};
use crate::tool::{Done, ask};

/// Libraries in C that crates bring and build.
const IN_C: &str = include_str!("../../../packaging/libraries-in-c.txt");

/// A library in C: the crate that brings one, its own name, its licence, and its text in the crate's sources.
fn libraries() -> impl Iterator<Item = [&'static str; 4]> {
    let lines = IN_C.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(" | ").collect::<Vec<_>>().try_into().ok())
}

/// The two texts.
pub(super) struct Inventory {
    pub(super) bom: String,
    pub(super) licenses: String,
}

/// A crate in the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    license: String,
}

impl Crate {
    fn reference(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

/// Takes stock.
pub(super) fn take(wanted: &Wanted) -> Done<Inventory> {
    let mut tree = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    tree.current_dir(crate::root()).args([
        "tree",
        "--locked",
        "--package",
        "isthmus",
        "--features",
        FEATURES,
    ]);
    let told =
        ask(tree.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "|{p}|{l}"]))?;
    let lock = crate::root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let (crates, edges) = read_tree(&told);
    let date = ask(Command::new("date").args([
        "-u",
        "-d",
        &format!("@{}", commit_seconds()),
        "+%Y-%m-%dT%H:%M:%SZ",
    ]))?;
    let bom = bom(wanted, date.trim(), (&crates, &edges), &read_lock(&lock));
    Ok(Inventory { bom, licenses: licenses(&crates, &read_lock(&lock)) })
}

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Reads lines of `DEPTH|NAME vVERSION|LICENCE`, the children of a crate below it; it has them at its first line only.
fn read_tree(told: &str) -> (BTreeSet<Crate>, Edges) {
    let (mut crates, mut edges, mut above) = (BTreeSet::new(), Edges::new(), Vec::new());
    for line in told.lines() {
        let mut parts = line.trim_end_matches(" (*)").splitn(3, '|');
        let (Some(depth), Some(package), license) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let found = Crate {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            // Some crates still write it as it was written before SPDX.
            license: license.unwrap_or_default().replace('/', " OR "),
        };
        above.truncate(depth.parse().unwrap_or(0));
        if let Some(parent) = above.last() {
            edges.entry(String::clone(parent)).or_default().insert(found.reference());
        }
        edges.entry(found.reference()).or_default();
        above.push(found.reference());
        crates.insert(found);
    }
    (crates, edges)
}

/// Checksums and versions of a `Cargo.lock`, by name; of several versions each.
fn read_lock(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").filter_map(|block| {
        let key = (value(block, "name")?, value(block, "version")?);
        Some((key, value(block, "checksum").unwrap_or_default()))
    });
    blocks.collect()
}

fn bom(
    wanted: &Wanted,
    date: &str,
    (crates, edges): (&BTreeSet<Crate>, &Edges),
    lock: &BTreeMap<(String, String), String>,
) -> String {
    let own = crates.iter().find(|found| found.name == "isthmus");
    let own_reference = own.map(Crate::reference).unwrap_or_default();
    let mut components: Vec<String> = Vec::new();
    for found in crates.iter().filter(|found| found.name != "isthmus") {
        let checksum = lock.get(&(found.name.clone(), found.version.clone())).filter(|sum| !sum.is_empty());
        let hashes =
            checksum.map(|sum| format!(",\"hashes\":[{{\"alg\":\"SHA-256\",\"content\":\"{sum}\"}}]"));
        let license = match found.license.as_str() {
            "" => String::new(),
            license => format!(",\"licenses\":[{{\"expression\":{}}}]", quoted(license)),
        };
        components.push(format!(
            "{{\"type\":\"library\",\"bom-ref\":{reference},\"name\":{},\"version\":{},\"purl\":{reference}{license}{}}}",
            quoted(&found.name),
            quoted(&found.version),
            hashes.unwrap_or_default(),
            reference = quoted(&found.reference()),
        ));
    }
    let in_c = in_c(lock);
    for (library, version, license, brings) in &in_c {
        components.push(format!(
            "{{\"type\":\"library\",\"bom-ref\":\"pkg:generic/{library}@{version}\",\"name\":\"{library}\",\
             \"version\":{},\"purl\":\"pkg:generic/{library}@{version}\",\"licenses\":[{{\"expression\":\"{license}\"}}],\
             \"description\":\"C library, built from the sources in the crate {brings}\"}}",
            quoted(version)
        ));
    }
    let mut depends: Vec<String> = Vec::new();
    for (from, to) in edges {
        let mut to: Vec<String> = to.iter().map(|to| quoted(to)).collect();
        if *from == own_reference {
            to.extend(
                in_c.iter().map(|(library, version, ..)| format!("\"pkg:generic/{library}@{version}\"")),
            );
        }
        depends.push(format!("{{\"ref\":{},\"dependsOn\":[{}]}}", quoted(from), to.join(",")));
    }
    format!(
        "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"version\":1,\n\"metadata\":{{\"timestamp\":\"{date}\",\
         \"component\":{{\"type\":\"application\",\"bom-ref\":{own},\"name\":\"isthmus\",\"version\":{},\"purl\":{own},\
         \"licenses\":[{{\"expression\":\"Apache-2.0\"}}]}}}},\n\"components\":[\n{}\n],\n\"dependencies\":[\n{}\n]}}\n",
        quoted(&wanted.version),
        components.join(",\n"),
        depends.join(",\n"),
        own = quoted(&own_reference),
    )
}

/// Name, version, licence and crate of each library in C.
fn in_c(lock: &BTreeMap<(String, String), String>) -> Vec<(&'static str, String, &'static str, String)> {
    let mut found = Vec::new();
    for [brings, library, license, _] in libraries() {
        for (_, version) in lock.keys().filter(|(name, _)| name == brings) {
            // A crate that says what it brings says it behind the plus.
            let own = version.split_once('+').map_or(version.as_str(), |(_, own)| own);
            let told = match library {
                "aws-lc" => defined(
                    &sources(brings, version).join("aws-lc/include/openssl/base.h"),
                    "AWSLC_VERSION_NUMBER_STRING",
                ),
                _ => None,
            };
            found.push((
                library,
                told.unwrap_or_else(|| own.to_owned()),
                license,
                format!("{brings} {version}"),
            ));
        }
    }
    found
}

/// The text that a header defines.
fn defined(header: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(header).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")))?;
    Some(line.trim().trim_matches('"').to_owned())
}

/// Where cargo keeps the sources of a crate of the registry.
fn sources(name: &str, version: &str) -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"))).unwrap_or_default();
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let found = registries
        .map(|registry| registry.path().join(format!("{name}-{version}")))
        .find(|path| path.is_dir());
    found.unwrap_or_default()
}

/// Every licence with its text, each text once, under the names of what it is for.
fn licenses(crates: &BTreeSet<Crate>, lock: &BTreeMap<(String, String), String>) -> String {
    let mut told = "What is in the program isthmus beside its own code (Apache-2.0), under which licence, and the texts.\n\n".to_owned();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut without = Vec::new();
    for found in crates {
        told.push_str(&format!("{} {}  {}\n", found.name, found.version, found.license));
        let Some(checksum) = lock.get(&(found.name.clone(), found.version.clone())) else { continue };
        let own = texts_in(&sources(&found.name, &found.version));
        if own.is_empty() && !checksum.is_empty() {
            without.push(format!("{} {} ({})", found.name, found.version, found.license));
        }
        for text in own {
            texts.entry(text).or_default().insert(format!("{} {}", found.name, found.version));
        }
    }
    for [brings, library, license, text] in libraries() {
        for (_, version) in lock.keys().filter(|(name, _)| name == brings) {
            told.push_str(&format!("{library} (in {brings} {version})  {license}\n"));
            if let Ok(text) = fs::read_to_string(sources(brings, version).join(text)) {
                texts.entry(text).or_default().insert(format!("{library} (in {brings} {version})"));
            }
        }
    }
    if !without.is_empty() {
        told.push_str(&format!(
            "\nWithout a text of their own in what their authors published: {}\n",
            without.join(", ")
        ));
    }
    for (text, of) in texts {
        let of: Vec<String> = of.into_iter().collect();
        told.push_str(&format!("\n{}\n{}\n{}\n", "=".repeat(80), of.join(", "), "=".repeat(80)));
        told.push_str(text.trim_end());
        told.push('\n');
    }
    told
}

/// The texts of licences that lie in a crate's folder.
fn texts_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_license = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|begin| name.starts_with(begin))
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_license).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut told = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => told.extend(['\\', c]),
            c if c.is_control() => told.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => told.push(c),
        }
    }
    told.push('"');
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_with_its_edges_and_each_crate_once() {
        let told = "0|isthmus v0.1.0 (/x/daemon)|Apache-2.0\n1|a v1.0.0|MIT/Apache-2.0\n2|b v2.0.0|MIT\n1|c v3.0.0|\n\
                    2|a v1.0.0|MIT/Apache-2.0 (*)\n";
        let (crates, edges) = read_tree(told);
        let names: Vec<&str> = crates.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "isthmus"]);
        assert!(crates.iter().any(|found| found.name == "a" && found.license == "MIT OR Apache-2.0"));
        let of = |name: &str| edges[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("pkg:cargo/isthmus@0.1.0"), ["pkg:cargo/a@1.0.0", "pkg:cargo/c@3.0.0"]);
        assert_eq!(
            (of("pkg:cargo/a@1.0.0"), of("pkg:cargo/c@3.0.0")),
            (vec!["pkg:cargo/b@2.0.0"], vec!["pkg:cargo/a@1.0.0"])
        );
    }

    #[test]
    fn a_lock_file_gives_checksums_by_name_and_version() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"0f\"\n\n[[package]]\n\
                    name = \"own\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
        let read = read_lock(lock);
        let sum = |name: &str, version: &str| read[&(name.to_owned(), version.to_owned())].clone();
        assert_eq!((sum("a", "1.0.0"), sum("own", "0.1.0")), ("0f".to_owned(), String::new()));
    }

    #[test]
    fn every_line_of_the_list_of_libraries_in_c_is_read() {
        assert_eq!(libraries().count(), IN_C.lines().filter(|line| line.contains('|')).count());
    }

    #[test]
    fn a_string_of_json_cannot_end_early() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
