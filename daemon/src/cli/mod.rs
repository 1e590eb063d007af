//! The command line: what a person types, and the exit code that a script reads.
//!
//! Exit codes: 0 done, 1 not done or refused, 2 wrong usage (clap's own), 78 bad configuration (`EX_CONFIG`).

mod acting;
mod address;
mod argument;
mod audit;
mod backup;
mod bench;
mod capabilities;
mod certificates;
mod check;
mod columns;
mod conflicts;
mod consent;
mod daemon;
mod demo;
mod filter;
mod fleet;
#[cfg(test)]
#[path = "hints_tests.rs"]
mod hints;
mod identity;
mod init;
mod intent;
mod key;
mod legal_hold;
#[cfg(feature = "manual")]
mod manual;
mod meter;
mod offline;
mod outbound;
mod outcomes;
mod policy;
mod quarantine;
mod queue;
mod replay;
mod restore;
mod run;
mod send;
mod site;
mod standstill;
mod status;
mod support_bundle;
mod typed;
mod wipe;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind, parser::ValueSource};

use crate::telemetry::LogFormat;

/// Exit code for a failure that is not one of usage or configuration.
pub const FAILED: u8 = 1;
/// Exit code for wrong usage: an option that is missing, a name of nothing that there is. clap's own.
pub const USAGE: u8 = 2;
/// Exit code for a faulty configuration (`EX_CONFIG` of sysexits.h).
pub const BAD_CONFIGURATION: u8 = 78;

/// What the codes mean, below the help of all and of each.
const EXIT_CODES: &str = "Exit codes of every command: 0 done; 1 not done, refused, or not all is good; 2 wrong usage: an \
option that is missing or nothing that there is, a site or feed that the configuration does not have; 78 the configuration \
cannot be read or is faulty.";
/// What stands above the options that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Edge integration appliance for hospitals: HL7 v2 in, diabetes outcomes out as FHIR.
#[derive(Debug, Parser)]
#[command(name = "isthmus", version, about, long_about = None, after_help = format!("Start with: isthmus demo\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// How log lines are written (standard error).
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = LogFormat::Text, env = "ISTHMUS_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or tracing directives.
    #[arg(long, global = true, help_heading = EVERYWHERE, default_value = "info", env = "ISTHMUS_LOG")]
    log: String,
    #[command(flatten)]
    config: ConfigArg,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is. It stands at the top, so that it may be written before and after every verb.
#[derive(Debug, clap::Args)]
struct ConfigArg {
    /// The main configuration file, for commands that read one; sites.d/ is beside it.
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "FILE",
        default_value = "/etc/isthmus/isthmus.toml",
        env = "ISTHMUS_CONFIG"
    )]
    config: PathBuf,
    /// It was named on the command line.
    #[arg(skip)]
    named: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole main job on this machine, with no set-up.
    Demo(demo::Args),
    /// Run the daemon.
    Run,
    /// Check the whole configuration; every fault at once, with file, line and fix.
    Check(check::Args),
    /// Make keys and a first configuration, and say what to do next.
    Init(init::Args),
    /// Show what the running daemon does: modes with their cause, queues, conditions.
    Status(status::Args),
    /// Show every certificate in force, what it is for, and when it ends.
    Certificates(certificates::Args),
    /// Gather what support asks for into one file that can be read before it is sent.
    #[command(long_about = support_bundle::ABOUT)]
    SupportBundle(support_bundle::Args),
    /// Show what a site permits, hold or release it, end what waited for a person, keep its keys.
    Site(site::Args),
    /// Show whose patient could not be told, and which patients were merged; undo a merge.
    Identity(identity::Args),
    /// Look at MLLP destinations, let a halted one go on, leave a message out.
    Outbound(outbound::Args),
    /// What patients permit, by purpose: list, grant, withdraw, verify; FHIR Consents in.
    Consent(consent::Args),
    /// The audit log: verify it, look at it, export it; its seals.
    Audit(audit::Args),
    /// Look at what waits, went or would go out, down to the resources.
    Queue(queue::Args),
    /// What people want written: a note, a goal, an outcome in another form, or that what stands is taken back.
    Intent(intent::Args),
    /// Where two feeds say different things of one moment: list, show, settle.
    Conflicts(conflicts::Args),
    /// Copy the store while the daemon runs.
    #[command(long_about = backup::ABOUT)]
    Backup(backup::Args),
    /// Put the store of a backup in the place of a lost one, or see that it could be done.
    #[command(long_about = restore::ABOUT)]
    Restore(restore::Args),
    /// The store's key: where it is, a copy for the safe, another one in its place.
    Key(key::Args),
    /// Make everything on this box unreadable, for good.
    #[command(long_about = wipe::ABOUT)]
    Wipe(wipe::Args),
    /// What the fleet's upstream is told, and what came of it; bundles of configuration that it offers.
    #[command(long_about = fleet::ABOUT)]
    Fleet(fleet::Args),
    /// Hold everything back after a restore, a copy or a roll-back, and let it go on.
    #[command(long_about = standstill::ABOUT)]
    Standstill(standstill::Args),
    /// Keep what is stored from being removed, whatever retention says: add, list, release.
    LegalHold(legal_hold::Args),
    /// Look at what is held back, and release or drop it.
    Quarantine(quarantine::Args),
    /// Read stored messages anew, after a mending of the configuration.
    Replay(replay::Args),
    /// Compute the outcomes of CGM exports; no daemon needed.
    Outcomes(outcomes::Args),
    /// Show the policies: thresholds, goals and rules of every population, with their sources.
    #[command(long_about = policy::ABOUT_POLICY)]
    Policy(policy::Args),
    /// Show what is known of glucose sensors.
    #[command(long_about = policy::ABOUT_DEVICE)]
    Device(policy::DeviceArgs),
    /// Send HL7 v2 messages over MLLP and print each answer.
    Send(send::Args),
    /// Measure: the way in beside a bare writer, or the whole way under a steady feed.
    Bench(bench::Args),
    /// The bare writer that `bench` measures beside the daemon.
    #[command(hide = true)]
    BenchBareServer(bench::BareServerArgs),
    /// The pages of man and the completions that the packages ship.
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Manual(manual::Args),
}

impl Command {
    /// Whether it works by a configuration; to all others `--config` would mean nothing.
    fn reads_configuration(&self) -> bool {
        match self {
            Self::Demo(_) | Self::Init(_) | Self::Send(_) | Self::Bench(_) | Self::BenchBareServer(_) => {
                false
            }
            #[cfg(feature = "manual")]
            Self::Manual(_) => false,
            _ => true,
        }
    }
}

impl Cli {
    /// Reads the words of a command line, the program's name first.
    ///
    /// # Errors
    /// What is wrong with them, and clap's own help and version.
    fn read<Word: Into<OsString> + Clone>(
        words: impl IntoIterator<Item = Word>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(words)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.config.named = matches.value_source("config") == Some(ValueSource::CommandLine);
        if cli.config.named && !cli.command.reads_configuration() {
            let what = "--config means nothing to this command, which reads no configuration; leave it out";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, what));
        }
        // It would write elsewhere than every other command reads.
        let is_set = matches.value_source("config") == Some(ValueSource::EnvVariable);
        if is_set && matches!(cli.command, Command::Init(_)) {
            let what = "ISTHMUS_CONFIG is set and means nothing to this command; unset it, and name a folder with --dir";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, what));
        }
        Ok(cli)
    }
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let quiet = if matches!(cli.command, Command::Run) { cli.log.as_str() } else { "warn" };
    crate::telemetry::install_log(cli.log_format, quiet);
    let config = cli.config.config.as_path();
    if cli.config.named {
        address::remember(config);
    }
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run => run::run(config),
        Command::Check(args) => check::run(&args, config),
        Command::Init(args) => init::run(&args),
        Command::Status(args) => status::run(&args, config),
        Command::Certificates(args) => certificates::run(&args, config),
        Command::SupportBundle(args) => support_bundle::run(&args, config),
        Command::Site(args) => site::run(&args, config),
        Command::Identity(args) => identity::run(&args, config),
        Command::Outbound(args) => outbound::run(&args, config),
        Command::Consent(args) => consent::run(&args, config),
        Command::Audit(args) => audit::run(&args, config),
        Command::Queue(args) => queue::run(&args, config),
        Command::Intent(args) => intent::run(&args, config),
        Command::Conflicts(args) => conflicts::run(&args, config),
        Command::Backup(args) => backup::run(&args, config),
        Command::Restore(args) => restore::run(&args, config),
        Command::Key(args) => key::run(&args, config),
        Command::Wipe(args) => wipe::run(&args, config),
        Command::Fleet(args) => fleet::run(&args, config),
        Command::Standstill(args) => standstill::run(&args, config),
        Command::LegalHold(args) => legal_hold::run(&args, config),
        Command::Quarantine(args) => quarantine::run(&args, config),
        Command::Replay(args) => replay::run(&args, config),
        Command::Outcomes(args) => outcomes::run(&args, config),
        Command::Policy(args) => policy::run(&args, config),
        Command::Device(args) => policy::run_device(&args, config),
        Command::Send(args) => send::run(&args),
        Command::Bench(args) => bench::run(args),
        Command::BenchBareServer(args) => bench::bare_server(&args),
        #[cfg(feature = "manual")]
        Command::Manual(args) => manual::run(&args),
    }
}

/// The folder of systemd credentials, where systemd gives one.
fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Prints a failure for people and returns its code.
#[allow(clippy::print_stderr, reason = "the command line talks to people")]
fn failed(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // Servers' and files' words may be in it.
    let told = error.to_string();
    eprintln!("isthmus: {}", crate::exhibit::visible::lines(&address::addressed(&told)));
    ExitCode::from(code)
}

/// `1 message`, `2 messages`.
fn amount(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A runtime for commands that wait for something.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every verb that reads a configuration, with what it needs.
    const VERBS: [&str; 65] = [
        "run",
        "check",
        "status",
        "support-bundle --out f.tar.gz --details",
        "queue list --state shown",
        "queue show 7 --reveal --reason r",
        "site list --json",
        "site show main",
        "site hold main --reason r",
        "site moved main --same-server --reason r",
        "site moved main --other-server --reason r",
        "site amended w --reason r",
        "site keys new",
        "site keys list --json",
        "site keys publish --out x.json",
        "site keys switch a",
        "site keys retire",
        "identity list",
        "identity links",
        "identity unmerge 3",
        "outbound list",
        "outbound resume back --json",
        "outbound skip back --row 7 --json",
        "backup --keep 3",
        "restore f.db --check",
        "restore f.db --replace --reason r",
        "key status",
        "key export --out f --reason r",
        "key rotate --reason r",
        "key forget a --reason r",
        "wipe --box b --reason r",
        "fleet status --json",
        "fleet bundles",
        "fleet apply 7 --reason r",
        "fleet rollback --reason r",
        "standstill show",
        "standstill begin --reason r",
        "standstill end --reason r",
        "quarantine list",
        "quarantine show 17",
        "quarantine release 17 --reason r",
        "quarantine drop 17 --reason r",
        "replay --id 17",
        "consent list",
        "consent show 3",
        "consent grant --patient s|v --purpose upstream --by x --reason r",
        "consent withdraw --patient s|v --purpose treatment --by x --reason r",
        "consent verify",
        "consent import f.json",
        "audit verify --seals s.json",
        "audit list --actor a --limit 9",
        "audit show 3",
        "audit list --unrecorded",
        "audit accept 3 --reason r",
        "audit export --after 7 --format fhir --out x.ndjson",
        "audit export --to tls://h:1 --ca c.pem --cert c --key k",
        "audit seals --json",
        "intent note --patient s|v --by x --text-file t",
        "intent goal --patient s|v --by x --time-in-range 70",
        "intent flowsheet --window 3 --by x --form epic-flowsheet",
        "intent withdraw --window 3 --by x",
        "intent list",
        "intent show 3",
        "intent confirm 3 --by x --reason r",
        "intent cancel 3 --reason r",
    ];

    #[test]
    fn the_configuration_is_named_before_between_and_after_the_verbs() {
        for verb in VERBS {
            let words: Vec<&str> = verb.split(' ').collect();
            for at in 0..=words.len() {
                // A value belongs to the option before it.
                if at > 0
                    && at < words.len()
                    && words[at - 1].starts_with("--")
                    && !words[at].starts_with("--")
                {
                    continue;
                }
                let (before, after) = words.split_at(at);
                let line = [&["isthmus"], before, &["--config", "here.toml"], after].concat();
                let cli = Cli::read(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
                assert_eq!(cli.config.config, PathBuf::from("here.toml"), "{line:?}");
            }
            let cli = Cli::read([&["isthmus"], &words[..]].concat()).unwrap();
            assert!(
                cli.config.config.is_absolute() || std::env::var_os("ISTHMUS_CONFIG").is_some(),
                "{verb}"
            );
        }
    }

    #[test]
    fn a_command_that_reads_no_configuration_says_so_where_one_is_named() {
        for line in [
            &["isthmus", "--config", "here.toml", "send", "--to", "h:1", "x.hl7"][..],
            &["isthmus", "demo", "--config", "here.toml"],
        ] {
            let error = Cli::read(line).unwrap_err().to_string();
            assert!(error.contains("reads no configuration"), "{error}");
        }
        assert!(Cli::read(["isthmus", "send", "--to", "h:1", "x.hl7"]).is_ok());
    }

    #[test]
    fn a_replay_of_nothing_in_particular_is_wrong_usage_and_not_a_replay_of_everything() {
        for words in
            [&[][..], &["--reason", "x"], &["--dry-run"], &["--json", "--no-wait"], &["--config", "x"]]
        {
            let error = Cli::read([&["isthmus", "replay"], words].concat()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "{words:?}");
        }
        for words in
            [&["--range", ".."][..], &["--filter", "type=ORU"], &["--range", "3..", "--filter", "site=a"]]
        {
            assert!(Cli::read([&["isthmus", "replay"], words].concat()).is_ok(), "{words:?}");
        }
    }

    #[test]
    fn the_help_of_replay_says_what_its_words_mean_that_it_is_idempotent_and_audited() {
        let help = Cli::read(["isthmus", "replay", "--help"]).unwrap_err().to_string();
        for told in [
            "--id",
            "--range",
            "--filter",
            "source=NAME",
            "since=TIME",
            "idempotent",
            "audit log",
            "--dry-run",
        ] {
            assert!(help.contains(told), "{told} is not told:\n{help}");
        }
    }

    #[test]
    fn the_help_of_a_command_that_has_a_long_text_is_that_text() {
        for (verb, about) in [
            ("backup", backup::ABOUT),
            ("restore", restore::ABOUT),
            ("wipe", wipe::ABOUT),
            ("fleet", fleet::ABOUT),
            ("standstill", standstill::ABOUT),
            ("support-bundle", support_bundle::ABOUT),
            ("policy", policy::ABOUT_POLICY),
            ("device", policy::ABOUT_DEVICE),
        ] {
            let help = Cli::read(["isthmus", verb, "--help"]).unwrap_err().to_string();
            let first: String = about.split_whitespace().take(5).collect::<Vec<_>>().join(" ");
            let told: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(told.starts_with(&first) && told.len() > about.len(), "{verb}: {first}\n{help}");
        }
    }

    /// Every command with its name, those within it too.
    fn commands(command: &clap::Command, above: &str) -> Vec<(String, clap::Command)> {
        let name = format!("{above} {}", command.get_name()).trim().to_owned();
        let within = command.get_subcommands().flat_map(|within| commands(within, &name));
        std::iter::once((name.clone(), command.clone())).chain(within).collect()
    }

    #[test]
    fn no_example_of_a_help_is_broken_at_80_columns() {
        let mut examples = 0;
        for (name, command) in commands(&Cli::command(), "") {
            for help in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
                // What is typed, and what is said of it below; the rest is broken between words.
                let is_example =
                    |line: &&str| ["  isthmus ", "      "].iter().any(|begin| line.starts_with(begin));
                for line in help.to_string().lines().filter(is_example) {
                    assert!(line.chars().count() <= columns::UNKNOWN, "{name}: {line}");
                    examples += 1;
                }
            }
        }
        assert!(examples > 50, "{examples}");
    }

    #[test]
    fn the_readme_names_every_option_of_what_is_asked_about_sites_rows_consent_and_intents() {
        let readme = include_str!("../../../README.md");
        let line_of = |command: &str| {
            let lines = readme.lines().filter(|line| line.starts_with(&format!("| `{command}")));
            lines.collect::<Vec<_>>().join("\n")
        };
        for top in ["site", "queue", "consent", "audit", "intent", "conflicts", "quarantine", "replay"] {
            let told = line_of(top);
            let command = Cli::command().find_subcommand(top).unwrap().clone();
            for (name, within) in commands(&command, "") {
                let verb = name.rsplit(' ').next().unwrap_or_default();
                assert!(told.contains(verb), "README has nothing of {name}");
                for option in within.get_arguments().filter_map(clap::Arg::get_long) {
                    // Said of all commands that tell something.
                    if option != "json" {
                        assert!(told.contains(&format!("--{option}")), "README: {name} --{option}");
                    }
                }
            }
        }
    }
}
