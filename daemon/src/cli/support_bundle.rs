//! `isthmus support-bundle`: what may be sent to who helps, in one file that can be read before it is sent.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use serde_json::{Value, json};

use super::{FAILED, credentials, daemon::quietly, failed};
use crate::{
    admin::{Request, beside},
    config,
    support::{Bundle, about, configuration, machine, standing},
    time,
};

/// What the command says of itself.
pub(super) const ABOUT: &str = "Gather what support asks for into one file: version, machine, keys and numbers of the \
configuration, status, store and metrics. What goes in is a list; no patient data, no secrets, no addresses, no text that \
somebody wrote. It is made on this machine and sent by nobody: read it, then send it.";

/// Examples below the help.
const EXAMPLES: &str = "Examples:
  isthmus support-bundle
      makes isthmus-support-TIME.tar.gz here
  isthmus support-bundle --out /tmp/box.tar.gz
  tar -xzOf /tmp/box.tar.gz | less
      reads all of it before it is sent";

/// Where the service's log is, by its unit.
const UNIT: &str = "isthmus.service";
/// Lines of the log that go in.
const LOG_LINES: &str = "2000";

/// Arguments of `isthmus support-bundle`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The file to make; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also the words of conditions and causes, and the last 2,000 lines of the service's log: they hold no patient data,
    /// but may repeat what a server said.
    #[arg(long)]
    details: bool,
    /// Print what went in as JSON.
    #[arg(long)]
    json: bool,
}

/// Gathers, writes and prints what went in.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let now = time::now_ms();
    let bundle = gather(args, config);
    let path = args.out.clone().unwrap_or_else(|| {
        let stamp: String = time::rfc3339(now).chars().filter(char::is_ascii_alphanumeric).collect();
        PathBuf::from(format!("isthmus-support-{stamp}.tar.gz"))
    });
    if let Err(error) = bundle.write(&path, now) {
        return failed(&format!("{}: {error}", path.display()), FAILED);
    }
    let detail = if args.details { "with details" } else { "without details" };
    let told = beside::Ask {
        deed: beside::Deed::SupportBundle,
        object: "box".to_owned(),
        detail: detail.to_owned(),
    };
    let audited = quietly(config, &Request::Beside(told)).is_ok();
    tell(args, &bundle, &path, audited);
    ExitCode::SUCCESS
}

fn gather(args: &Args, config: &Path) -> Bundle {
    let mut bundle = Bundle::default();
    let features: Vec<&str> = [("systemd", cfg!(feature = "systemd"))]
        .into_iter()
        .filter(|(_, on)| *on)
        .map(|(name, _)| name)
        .collect();
    let version = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "features": features,
        "made": time::rfc3339(time::now_ms()),
    });
    bundle.put("version.json", pretty(&version));
    let loaded = config::load(config, credentials().as_deref());
    let data_dir = loaded.as_ref().ok().map(|config| config.main.data_dir.as_path());
    bundle.put("machine.json", pretty(&machine::of(data_dir)));
    match configuration::of(config) {
        Ok(mut told) => {
            told["faults"] = match &loaded {
                Ok(_) => 0.into(),
                Err(faults) => faults.as_slice().len().into(),
            };
            bundle.put("configuration.json", pretty(&told));
        }
        Err(why) => bundle.lacks("configuration.json", why),
    }
    match quietly(config, &Request::Status) {
        Ok(status) => {
            bundle.put("status.json", pretty(&standing::of(&status)));
            if args.details {
                bundle.put("status-in-full.json", pretty(&status));
            }
        }
        Err(error) => {
            let why = match error.is_absent() {
                true => "no daemon runs here, and it alone knows",
                false => "the daemon could not be asked; run this as root or as the daemon's user",
            };
            bundle.lacks("status.json", why);
        }
    }
    match quietly(config, &Request::Support) {
        Ok(told) => {
            bundle.put("store.json", pretty(&told["store"]));
            bundle.put("metrics.txt", told["metrics"].as_str().unwrap_or_default());
        }
        Err(_) => {
            for name in ["store.json", "metrics.txt"] {
                bundle.lacks(name, "the daemon could not be asked");
            }
        }
    }
    if args.details {
        match journal() {
            Ok(lines) => bundle.put("log.txt", lines),
            Err(why) => bundle.lacks("log.txt", why),
        }
    } else {
        bundle.lacks("log.txt", "only with --details");
    }
    bundle
}

/// The last lines of the service, without the machine's name.
fn journal() -> Result<Vec<u8>, String> {
    let words = [
        "--unit",
        UNIT,
        "--lines",
        LOG_LINES,
        "--no-pager",
        "--quiet",
        "--output",
        "short-iso",
        "--no-hostname",
    ];
    let output = Command::new("journalctl").args(words).output();
    match output {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => Ok(output.stdout),
        Ok(_) => Err(format!("the journal has no lines of {UNIT} that this user may read")),
        Err(_) => Err("this machine has no journal".to_owned()),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
fn tell(args: &Args, bundle: &Bundle, path: &Path, audited: bool) {
    if args.json {
        let files: Vec<Value> =
            bundle.listed().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect();
        let missing: Vec<Value> =
            bundle.missing().iter().map(|(name, why)| json!({ "name": name, "why": why })).collect();
        let told = json!({ "file": path, "holds": files, "missing": missing, "audited": audited });
        println!("{told:#}");
        return;
    }
    println!("{}", path.display());
    for (name, bytes) in bundle.listed() {
        println!("  {name:<20} {:>6} {}", format!("{} KB", bytes.div_ceil(1_000)), about(name));
    }
    for (name, why) in bundle.missing() {
        println!("  {name:<20} not here: {why}");
    }
    if !audited {
        println!("That it was made is in no audit log: no daemon could be told.");
    }
    println!("{} Nothing was sent. Read it before you send it:", bundle.promise());
    println!("  tar -xzOf {} | less", path.display());
}
