//! `isthmus consent`: the ledger of what patients permit, looked at and written.
//!
//! Exit codes: 0 done; 1 where something could not be done, was refused, or the ledger does not verify; 2 for wrong usage.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::Value;

use super::{
    FAILED, amount,
    argument::{self, Named},
    columns::{Columns, fitted, moment as moment_in, width},
    daemon::{ask, say, tell, text},
    failed,
};
use crate::{
    admin::{
        Request,
        consent::{Ask, DecideAsk, FILE_MOST_BYTES, LINES_MOST, ListAsk, Whom},
    },
    report::paper::printable,
    time,
};

/// Lines of a list where nothing else is said: two screens.
const LINES: u64 = 50;
/// Places told after a withdrawal; `--json` has more.
const PLACES: usize = 20;

/// Most that is read of a file with a head.
const HEAD_FILE_MOST_BYTES: u64 = 64 * 1024;

/// What is told where a grant begins before it is recorded and does not say that it reaches back.
const NOT_BACK: &str =
    "it holds from now on: what was made before this moment is covered only by --including-past\n";

const EXAMPLES: &str = "\
Examples:
  isthmus consent list
      the newest decisions
  isthmus consent list --patient -
      of one patient, and what is in force
  isthmus consent withdraw --patient - --purpose treatment \\
      --by \"the patient\" --reason \"asked at the desk\"
  isthmus consent grant --patient - --purpose upstream --until 2027-01-01 \\
      --by \"her guardian\" --reason \"form 12\"
  isthmus consent import consent.json --reason \"from the portal\"
  isthmus consent verify
      walks the chain, prints its head
  isthmus consent verify --against head.txt
      and whether a head that was kept elsewhere is in it still

--patient - asks for the identifier, 'urn:oid:1.2.3|7700001', or reads it from standard input. What stands on a command line \
is seen by other users of the machine, sudo logs it and the shell remembers it.

A withdrawal stops what waits at once, and what is queued later. It does not retract what was written: what stands where is \
listed, and with --from what was written since then is marked. A grant holds from now on; --including-past lets go what was \
made before it too.

Nothing in the ledger is ever changed or deleted. Every decision is in the audit log with your user name and the reason; \
write no patient data into --reason.";

/// Arguments of `isthmus consent`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List decisions, the newest first; patients by their numbers.
    List(List),
    /// Show one decision; with --reveal also whom it names and what was written about it.
    Show(Show),
    /// Record that a patient permits a purpose.
    Grant(Grant),
    /// Record that a patient does not permit a purpose (any more).
    Withdraw(Decision),
    /// Walk the chain of hashes, and print its head.
    Verify(Verify),
    /// Take a file with a FHIR Consent (R4 or R5), or a Bundle of them, into the ledger.
    Import(Import),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Of this patient: the identifier's system, a bar, its value; `-` reads it from standard input.
    #[arg(long, value_name = "SYSTEM|VALUE", value_parser = argument::patient)]
    patient: Option<Named>,
    /// The patient's site; the box's where none is named.
    #[arg(long, requires = "patient")]
    site: Option<String>,
    /// For this purpose.
    #[arg(long, value_parser = ["treatment", "upstream", "payer"])]
    purpose: Option<String>,
    /// Those before this number.
    #[arg(long, value_name = "ENTRY")]
    before: Option<i64>,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = LINES,
          value_parser = clap::value_parser!(u64).range(1..=LINES_MOST as u64))]
    limit: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Its number.
    entry: i64,
    /// Show whom it names and what was written about it too; wants --reason, and is written to the audit log first.
    #[arg(long, requires = "reason")]
    reveal: bool,
    /// Why that must be seen.
    #[arg(long, value_name = "TEXT", requires = "reveal", value_parser = words)]
    reason: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Grant {
    #[command(flatten)]
    decision: Decision,
    /// It covers what was made before it too: outcomes that were held or not written for want of this consent.
    #[arg(long)]
    including_past: bool,
}

#[derive(Debug, clap::Args)]
struct Decision {
    /// The patient: the identifier's system, a bar, its value; `-` reads it from standard input.
    #[arg(long, value_name = "SYSTEM|VALUE", value_parser = argument::patient)]
    patient: Named,
    /// The patient's site; the box's where none is named.
    #[arg(long)]
    site: Option<String>,
    /// For what; may be given more than once.
    #[arg(long, required = true, value_parser = ["treatment", "upstream", "payer"])]
    purpose: Vec<String>,
    /// On whose behalf: the patient, a guardian.
    #[arg(long, value_name = "NAME", value_parser = words)]
    by: String,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = words)]
    reason: String,
    /// In force from: 2026-01-31 (midnight UTC) or 2026-01-31T08:00:00Z; else from now on. A time that has passed is kept in
    /// the ledger, and what was written since is listed: a withdrawal holds from now on, and reaches back to nothing.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<i64>,
    /// And before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// The patient need not be known yet: the decision holds from the first message on.
    #[arg(long)]
    unseen: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// A head printed earlier, ENTRIES:HASH, or a file with one (what verify printed, or its JSON): it must still be in the
    /// chain. Where the ledger ends before it, the exit code is 1.
    #[arg(long, value_name = "HEAD|FILE", value_parser = head_or_file)]
    against: Option<(u64, String)>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Import {
    /// The file.
    file: PathBuf,
    /// The site of its patients; the box's where none is named.
    #[arg(long)]
    site: Option<String>,
    /// The server that it comes from, by any name, the same one each time. Wanted where a Consent has no identifier with a
    /// system: another server may give its id to another Consent.
    #[arg(long, value_name = "NAME", value_parser = words)]
    source: Option<String>,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT", default_value = "FHIR Consent imported", value_parser = words)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn words(text: &str) -> Result<String, String> {
    argument::words(text, "it goes into the ledger: write something")
}

/// Whom an identifier names at a site.
fn at(site: Option<&String>, named: &Named) -> Whom {
    Whom { site: site.cloned(), system: named.system.clone(), value: named.value.clone() }
}

fn moment(text: &str) -> Result<i64, String> {
    super::filter::moment(text, time::now_ms())
}

/// A head, or the first one in a file of that name.
pub(super) fn head_or_file(text: &str) -> Result<(u64, String), String> {
    let wrong = match head(text) {
        Ok(head) => return Ok(head),
        Err(wrong) => wrong,
    };
    let Ok(file) = std::fs::File::open(text) else {
        return Err(format!("{wrong}; nor is there such a file"));
    };
    let mut told = String::new();
    let read = file.take(HEAD_FILE_MOST_BYTES).read_to_string(&mut told);
    read.map_err(|error| format!("{text}: {error}"))?;
    let of_json = |told: &str| {
        let told: Value = serde_json::from_str(told).ok()?;
        head(&format!("{}:{}", told["entries"].as_u64()?, told["head"].as_str()?)).ok()
    };
    of_json(&told)
        .or_else(|| told.split_whitespace().find_map(|word| head(word).ok()))
        .ok_or_else(|| format!("{text} holds no head: {wrong}"))
}

fn head(text: &str) -> Result<(u64, String), String> {
    let wrong = || "ENTRIES:HASH is wanted, as `verify` prints it".to_owned();
    let (entries, hash) = text.split_once(':').ok_or_else(wrong)?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    match entries.parse() {
        Ok(entries) if is_hash => Ok((entries, hash.to_ascii_lowercase())),
        _ => Err(wrong()),
    }
}

/// Does what the arguments say.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    match &args.verb {
        Verb::List(args) => list(args, config),
        Verb::Show(args) => show(args, config),
        Verb::Grant(args) => decide(&args.decision, Some(args.including_past), config),
        Verb::Withdraw(args) => decide(args, None, config),
        Verb::Verify(args) => verify(args, config).unwrap_or_else(|code| code),
        Verb::Import(args) => import(args, config).unwrap_or_else(|code| code),
    }
}

fn list(args: &List, config: &Path) -> ExitCode {
    let patient = args.patient.as_ref().map(|named| at(args.site.as_ref(), named));
    let wanted =
        ListAsk { patient, purpose: args.purpose.clone(), before: args.before, limit: args.limit as usize };
    tell(config, &Request::Consent(Ask::List(wanted)), args.json, listed)
}

fn show(args: &Show, config: &Path) -> ExitCode {
    let reveal = args.reason.clone().filter(|_| args.reveal);
    let wanted = Ask::Show { entry: args.entry, reveal };
    tell(config, &Request::Consent(wanted), args.json, shown)
}

/// A grant (`past` says whether it covers what was before it), else a withdrawal.
fn decide(args: &Decision, past: Option<bool>, config: &Path) -> ExitCode {
    let wanted = DecideAsk {
        grant: past.is_some(),
        patient: at(args.site.as_ref(), &args.patient),
        purposes: args.purpose.clone(),
        by: args.by.clone(),
        reason: args.reason.clone(),
        from: args.from,
        until: args.until,
        past: past.unwrap_or(false),
        unseen: args.unseen,
    };
    let purposes = args.purpose.join(", ");
    let reaches_back = args.from.is_some_and(|from| from < time::now_ms());
    tell(config, &Request::Consent(Ask::Decide(wanted)), args.json, |told| match past {
        Some(false) if reaches_back => granted(told, &purposes) + NOT_BACK,
        Some(_) => granted(told, &purposes),
        None => fitted(withdrawn(told, &purposes)),
    })
}

fn verify(args: &Verify, config: &Path) -> Result<ExitCode, ExitCode> {
    let told = ask(config, &Request::Consent(Ask::Verify { against: args.against.clone() }))?;
    if args.json || told["broken"].is_null() {
        say(&told, args.json, verified);
    }
    if told["broken"].is_null() {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if args.json { ExitCode::from(FAILED) } else { failed(&text(&told["detail"]), FAILED) })
}

fn import(args: &Import, config: &Path) -> Result<ExitCode, ExitCode> {
    let refused = |why: String| failed(&format!("{}: {why}", args.file.display()), FAILED);
    let document = std::fs::read_to_string(&args.file).map_err(|error| refused(error.to_string()))?;
    if document.len() > FILE_MOST_BYTES {
        return Err(refused(format!(
            "more than {FILE_MOST_BYTES} bytes: drop it into a spool's folder instead"
        )));
    }
    let (site, source) = (args.site.clone(), args.source.clone());
    let wanted = Ask::Import { document, site, source, reason: args.reason.clone() };
    let told = ask(config, &Request::Consent(wanted))?;
    say(&told, args.json, imported);
    let mut lines = told["consents"].as_array().into_iter().flatten();
    Ok(if lines.any(|line| line["became"] == "refused") { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// The decisions as a table of this width.
fn table(entries: &[Value], width: usize) -> String {
    let mut table = Columns::new(&[
        "ENTRY", "RECORDED", "PATIENT", "PURPOSE", "DECISION", "FROM", "UNTIL", "SOURCE", "BY",
    ]);
    for entry in entries {
        let past = if entry["including_past"] == true { " (the past included)" } else { "" }.to_owned();
        let message = entry["message"].as_i64().map_or_else(String::new, |id| format!(", message {id}"));
        table.row([
            entry["entry"].to_string(),
            moment_in(&text(&entry["at"])),
            entry["patient"].to_string(),
            text(&entry["purpose"]),
            text(&entry["decision"]),
            // From its entry on, where nothing else is said.
            if from(entry) == text(&entry["at"]) {
                past
            } else {
                format!("{}{past}", moment_in(&from(entry)))
            },
            moment_in(&text(&entry["until"])),
            format!("{}{message}", text(&entry["source"])),
            text(&entry["actor"]),
        ]);
    }
    table.fit(width)
}

fn from(entry: &Value) -> String {
    // A grant that reaches back without an end begins with the Unix epoch.
    let from = text(&entry["from"]);
    if entry["including_past"] == true && from.starts_with("1970-01-01") {
        "the beginning".to_owned()
    } else {
        from
    }
}

fn listed(told: &Value) -> String {
    let mut out = String::new();
    for answer in told["in_force"].as_array().into_iter().flatten() {
        let (purpose, decision, by) =
            (text(&answer["purpose"]), text(&answer["decision"]), text(&answer["by"]));
        out += &format!("in force: {purpose:<9} {decision:<6} by {by}\n");
    }
    let entries = told["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        return out + "no decision is listed; where none was made, the site's default holds\n";
    }
    out + &table(entries, width())
}

fn shown(told: &Value) -> String {
    let mut out = table(std::slice::from_ref(told), width());
    for (name, value) in [
        ("hash", &told["hash"]),
        ("document", &told["document"]),
        ("behalf", &told["behalf"]),
        ("reason", &told["reason"]),
    ] {
        if value.is_string() {
            out += &format!("  {name:<10} {}\n", text(value));
        }
    }
    let identifier = &told["identifier"];
    if identifier.is_object() {
        out += &format!(
            "  {:<10} {} of {}\n",
            "identifier",
            text(&identifier["value"]),
            text(&identifier["system"])
        );
    } else {
        out += "  whom it names, and what was written about it: --reveal --reason TEXT\n";
    }
    out
}

fn entries(told: &Value) -> String {
    let numbers = told["entries"].as_array().into_iter().flatten().map(Value::to_string);
    numbers.collect::<Vec<_>>().join(", ")
}

fn granted(told: &Value, purposes: &str) -> String {
    let count = |name: &str| told[name].as_u64().unwrap_or(0);
    let mut out = format!("granted for {purposes}: entry {}\n", entries(told));
    if count("released") > 0 {
        out += &format!("{} let go\n", amount(count("released"), "held write"));
    }
    if count("given_up") > 0 {
        out += &format!(
            "{} given up, for consent was not in force when they were queued\n",
            amount(count("given_up"), "write")
        );
    }
    if count("windows_again") > 0 {
        out += &format!(
            "{} looked at again, as the past is included\n",
            amount(count("windows_again"), "window")
        );
    }
    out
}

fn withdrawn(told: &Value, purposes: &str) -> String {
    let held = told["held"].as_u64().unwrap_or(0);
    let mut out =
        format!("withdrawn for {purposes}: entry {}; {} held\n", entries(told), amount(held, "write"));
    let stands = told["stands"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(from) = told["from_passed"].as_str().map(printable) {
        out += &format!(
            "It holds from now on, and not from {from} on: a withdrawal does not reach back. The ledger keeps the time that was said.\n"
        );
        let since: Vec<&Value> = stands.iter().filter(|place| place["since_from"] == true).collect();
        out += &match since.len() {
            0 => format!("Nothing that stands was written since {from}.\n"),
            _ => format!("Written since {from}, and marked with * below: {}\n", since.len()),
        };
    }
    if stands.is_empty() {
        out += "nothing of this patient stands at a destination because isthmus wrote it\n";
        return out;
    }
    out += "A withdrawal does not retract what was written. This stands, and people have to retract it where it should \
            not:\n";
    for place in stands.iter().take(PLACES) {
        let at = place["location"].as_str().map_or_else(|| text(&place["kind"]), printable);
        let certain =
            if place["certain"] == true { "" } else { " (under way or in doubt: its answer decides)" };
        let window = place["window"].as_i64().map(|window| format!(", window {window}")).unwrap_or_default();
        let mark = if place["since_from"] == true { "*" } else { " " };
        let (destination, written) = (text(&place["destination"]), text(&place["at"]));
        let server = place["server"].as_str();
        let server =
            server.map(|base| format!(" at the former server {}", printable(base))).unwrap_or_default();
        out += &format!(" {mark}{destination}  {at}{server}{window}, written {written}{certain}\n");
    }
    if stands.len() > PLACES || told["left_out"] == true {
        out += &format!("  and more: --json lists {}\n", stands.len());
    }
    out
}

fn verified(told: &Value) -> String {
    format!("the chain holds; its head is {}:{}\n", told["entries"], text(&told["head"]))
}

fn imported(told: &Value) -> String {
    let mut out = format!("kept as message {}\n", told["message"]);
    for (number, line) in (1..).zip(told["consents"].as_array().into_iter().flatten()) {
        out += &format!("Consent {number}: {}: {}\n", text(&line["became"]), text(&line["line"]));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_withdraws_is_told_what_stands_and_that_nothing_is_retracted() {
        let place = json!({
            "destination": "ehr:main", "kind": "bundle", "location": "Observation/\u{1b}[2J", "at": "T", "certain": true,
            "window": 17, "server": null,
        });
        let mut doubt = place.clone();
        (doubt["location"], doubt["certain"]) = (Value::Null, json!(false));
        doubt["server"] = "https://before.example".into();
        let told = json!({"entries": [4], "held": 1, "stands": [place, doubt], "left_out": false});
        let shown = withdrawn(&told, "treatment");
        assert!(shown.starts_with("withdrawn for treatment: entry 4; 1 write held\n"), "{shown}");
        assert!(shown.contains("does not retract what was written"), "{shown}");
        let doubtful =
            "bundle at the former server https://before.example, window 17, written T (under way or in doubt";
        assert!(shown.contains(&format!("  ehr:main  {doubtful}")), "{shown}");
        assert!(!shown.contains("It holds from now on"), "no time was named: {shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let none = withdrawn(&json!({"entries": [4], "held": 0, "stands": []}), "upstream");
        assert!(none.ends_with("nothing of this patient stands at a destination because isthmus wrote it\n"));
        let many = json!({"entries": [4], "held": 0, "stands": vec![told["stands"][0].clone(); PLACES + 1]});
        assert!(withdrawn(&many, "treatment").ends_with("  and more: --json lists 21\n"));
    }

    #[test]
    fn a_withdrawal_from_a_time_that_has_passed_says_what_that_means_and_marks_what_was_written_since() {
        let place = |since: bool| {
            json!({"destination": "ehr:main", "kind": "bundle", "location": "Observation/1", "at": "T", "certain": true,
                   "since_from": since})
        };
        let told = json!({"entries": [4], "held": 0, "stands": [place(false), place(true)], "left_out": false,
                          "from_passed": "2026-03-01T00:00:00Z"});
        let shown = withdrawn(&told, "treatment");
        assert!(shown.contains("It holds from now on, and not from 2026-03-01T00:00:00Z on"), "{shown}");
        assert!(shown.contains("marked with * below: 1\n"), "{shown}");
        assert_eq!(shown.matches(" *ehr:main  Observation/1").count(), 1, "{shown}");
        assert_eq!(shown.matches("  ehr:main  Observation/1").count(), 1, "{shown}");
        let none = json!({"entries": [4], "held": 0, "stands": [], "from_passed": "T"});
        assert!(withdrawn(&none, "treatment").contains("Nothing that stands was written since T"));
    }

    #[test]
    fn the_list_fits_its_width() {
        let entry = json!({
            "entry": 4, "at": "2026-03-01T00:00:00Z", "patient": 12, "purpose": "treatment", "decision": "withdraw",
            "from": "2026-03-01T00:00:00Z", "until": "2026-06-01T00:00:00Z", "including_past": false, "source": "cli",
            "message": 17, "actor": "user nurse (uid 1001)",
        });
        for width in [80, 120] {
            let told = table(std::slice::from_ref(&entry), width);
            assert!(told.lines().all(|line| line.chars().count() <= width), "{told}");
        }
    }

    #[test]
    fn a_head_is_read_from_a_file_too_as_it_was_printed_or_as_json() {
        let dir = tempfile::tempdir().unwrap();
        let hash = "a0".repeat(32);
        for (name, text) in [
            ("printed", format!("the chain holds; its head is 3:{hash}\n")),
            ("bare", format!("3:{hash}\n")),
            ("json", json!({"entries": 3, "head": hash}).to_string()),
        ] {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            assert_eq!(head_or_file(file.to_str().unwrap()), Ok((3, hash.clone())), "{name}");
        }
        std::fs::write(dir.path().join("none"), "nothing").unwrap();
        for name in ["none", "missing"] {
            assert!(head_or_file(dir.path().join(name).to_str().unwrap()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_head_is_its_entries_and_hash() {
        let hash = "A0".repeat(32);
        assert_eq!(head(&format!("3:{hash}")), Ok((3, hash.to_lowercase())));
        for text in
            [hash.clone(), format!("x:{hash}"), format!("3:{}", &hash[1..]), format!("3:g{}", &hash[1..])]
        {
            assert!(head(&text).is_err(), "{text}");
        }
    }
}
