//! `isthmus site show`: the matrix, or what becomes of a message.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{explain, in_force, load};
use crate::{
    cli::{FAILED, daemon::say, failed},
    config::origins,
    matrix::{self, Setting},
    report::paper::printable,
};

/// Arguments of `isthmus site show`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The site's id.
    site: String,
    /// A file with an HL7 v2 message: say what would become of its outcomes at this site, and why.
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// The listener or spool that the message would come through (default: the first).
    #[arg(long, value_name = "NAME", requires = "explain")]
    feed: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, path: &Path) -> Result<(), ExitCode> {
    let config = load(path)?;
    let Some(site) = config.sites.get(&args.site) else {
        let known: Vec<&str> = config.sites.keys().map(String::as_str).collect();
        return Err(failed(&format!("no site {:?}; there are {}", args.site, known.join(", ")), FAILED));
    };
    let name = site.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(message) = &args.explain {
        let told = explain::told(&config, site, message, args.feed.as_deref(), &in_force(path))
            .map_err(|error| failed(&error, FAILED))?;
        say(&told, args.json, explain::for_people);
        return Ok(());
    }
    let settings = matrix::settings(site, &name, &origins(&site.file));
    let told = serde_json::to_value(&settings).unwrap_or_default();
    say(&told, args.json, |_| table(&settings));
    Ok(())
}

/// The matrix as a table, a paragraph for each of its tables.
fn table(settings: &[Setting]) -> String {
    let width = |of: fn(&Setting) -> &str, most: usize| {
        settings.iter().map(|one| of(one).chars().count()).max().unwrap_or(0).min(most)
    };
    let (keys, values) = (width(|one| &one.key, 24), width(|one| &one.value, 60));
    let mut out = String::new();
    let mut before = "";
    for one in settings {
        if one.table != before {
            out += &format!("{}[{}]\n", if before.is_empty() { "" } else { "\n" }, printable(&one.table));
            before = &one.table;
        }
        out +=
            &format!("  {:<keys$}  {:<values$}  {}\n", one.key, printable(&one.value), printable(&one.from));
    }
    out
}
