//! `isthmus site show`: the matrix, or what becomes of a message.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::Value;

use super::{explain, in_force, known, load, no_site};
use crate::{
    cli::{
        columns::{pieces, width},
        daemon::{say, text},
    },
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
    /// The listener or spool that the message would come through (default: the first of the site).
    #[arg(long, value_name = "NAME", requires = "explain")]
    feed: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, path: &Path) -> Result<(), ExitCode> {
    let config = load(path)?;
    let Some(site) = config.sites.get(&args.site) else {
        return Err(no_site(&config, &args.site));
    };
    let name = site.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(message) = &args.explain {
        let here = |system: &str, value: &str| known::of(path, Some(&site.id), system, value);
        let told = explain::told(&config, site, message, args.feed.as_deref(), &in_force(path), &here)?;
        say(&told, args.json, explain::for_people);
        return Ok(());
    }
    let mut settings = matrix::settings(site, &name, &origins(&site.file));
    settings.extend(now(&site.id, &in_force(path)));
    let told = serde_json::to_value(&settings).unwrap_or_default();
    say(&told, args.json, |_| table(&settings, width()));
    Ok(())
}

/// What is in force, as the daemon says; nothing where none answers.
fn now(site: &str, status: &Value) -> Vec<Setting> {
    let sites = status["sites"].as_array().into_iter().flatten();
    let Some(seen) = sites.into_iter().find(|seen| seen["id"] == site) else { return Vec::new() };
    let put = |key: String, words: String, from: &str| Setting {
        table: "in force now".to_owned(),
        key,
        value: words.clone().into(),
        words,
        from: if from.is_empty() { "daemon".to_owned() } else { from.to_owned() },
    };
    let mode = put("mode".to_owned(), text(&seen["mode"]), &text(&seen["cause"]));
    let uses = seen["capabilities"].as_array().into_iter().flatten();
    let uses = uses.map(|one| {
        let value = match (one["permitted"] == true, one["observed"].as_str()) {
            (false, _) => "not permitted".to_owned(),
            (true, Some("open")) => "open".to_owned(),
            (true, _) => {
                format!("{} since {}: {}", text(&one["observed"]), text(&one["since"]), text(&one["cause"]))
            }
        };
        let row = one["evidence_row"].as_i64().map(|row| format!("isthmus queue show {row}"));
        put(text(&one["capability"]), value, &row.unwrap_or_default())
    });
    std::iter::once(mode).chain(uses).collect()
}

/// The matrix as a table, a paragraph for each of its tables; its columns are the same throughout while there is room.
fn table(settings: &[Setting], width: usize) -> String {
    let widest = |of: fn(&Setting) -> &str, most: usize| {
        settings.iter().map(|one| of(one).chars().count()).max().unwrap_or(0).min(most)
    };
    let (keys, from) = (widest(|one| &one.key, 24), widest(|one| &one.from, 20));
    let room = width.saturating_sub(keys + from + 6).max(20);
    let values = widest(|one| &one.words, room);
    let mut out = String::new();
    let mut before = "";
    for one in settings {
        if one.table != before {
            out += &format!("{}[{}]\n", if before.is_empty() { "" } else { "\n" }, printable(&one.table));
            before = &one.table;
        }
        let cells = [(&one.key, keys), (&one.words, values), (&one.from, from)];
        let cells = cells.map(|(text, width)| (pieces(&printable(text), width, width), width));
        for line in 0..cells.iter().map(|(cell, _)| cell.len()).max().unwrap_or(0) {
            let parts = cells.iter().map(|(cell, width)| {
                format!("{:<width$}", cell.get(line).map_or("", String::as_str), width = *width)
            });
            let whole = parts.collect::<Vec<_>>().join("  ");
            out += &format!("  {}\n", whole.trim_end());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_matrix_fits_its_width_and_says_what_is_in_force_beside_what_the_file_permits() {
        let status = json!({"sites": [{"id": "main", "mode": "partial", "cause": "HTTP 403", "capabilities": [
            {"capability": "Observation/laboratory", "permitted": true, "observed": "read-only", "since": "T",
             "cause": "HTTP 403", "evidence_row": 5},
            {"capability": "DocumentReference", "permitted": true, "observed": "open"},
            {"capability": "Goal", "permitted": false, "observed": "open"}]}]});
        let settings = now("main", &status);
        let values: Vec<[&str; 3]> =
            settings.iter().map(|one| [one.key.as_str(), one.words.as_str(), one.from.as_str()]).collect();
        assert_eq!(
            values,
            [
                ["mode", "partial", "HTTP 403"],
                ["Observation/laboratory", "read-only since T: HTTP 403", "isthmus queue show 5"],
                ["DocumentReference", "open", "daemon"],
                ["Goal", "not permitted", "daemon"],
            ]
        );
        assert!(now("main", &Value::Null).is_empty(), "nobody answers");
        let long = Setting {
            table: "ehr".to_owned(),
            key: "base_url".to_owned(),
            words: format!("https://ehr.example/{}", "r4/".repeat(60)),
            value: Value::Null,
            from: "main.toml:12".to_owned(),
        };
        for width in [80, 120] {
            let told = table(&[settings.clone(), vec![long.clone()]].concat(), width);
            assert!(told.lines().all(|line| line.chars().count() <= width), "{told}");
        }
    }
}
