//! `isthmus manual`: the pages of man and the completions of shells, made from the definition of the command line itself, so
//! that they cannot tell anything else. The packages call it when they are built.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, FAILED, failed};

/// Arguments of `isthmus manual`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where they go: man/ and completions/ in this folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes them.
pub(super) fn run(args: &Args) -> ExitCode {
    match write(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{}: {error}", args.out.display()), FAILED),
    }
}

fn write(args: &Args) -> io::Result<()> {
    let (man, completions) = (args.out.join("man"), args.out.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Cli::command(), &man)?;
    for entry in fs::read_dir(&man)? {
        let page = entry?.path();
        let text = fs::read_to_string(&page)?;
        fs::write(&page, unfilled(&text))?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut shown(), "isthmus", &completions)?;
    }
    Ok(())
}

/// The command line without what is hidden: shells would offer it.
fn shown() -> clap::Command {
    let all = Cli::command();
    let within = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("isthmus")
        .version(env!("CARGO_PKG_VERSION"))
        .args(all.get_arguments().cloned())
        .subcommands(within)
}

/// A page whose indented lines, which are examples, are printed as they stand, neither filled nor justified.
fn unfilled(page: &str) -> String {
    let (mut out, mut is_example) = (String::with_capacity(page.len()), false);
    for line in page.lines() {
        if line.starts_with("  ") != is_example {
            is_example = !is_example;
            out.push_str(if is_example { ".nf\n" } else { ".fi\n" });
        }
        out.push_str(line);
        out.push('\n');
    }
    if is_example { out + ".fi\n" } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page_and_every_shell_its_completions() {
        let dir = tempfile::tempdir().unwrap();
        write(&Args { out: dir.path().to_owned() }).unwrap();
        let page = |name: &str| fs::read_to_string(dir.path().join("man").join(name)).unwrap_or_default();
        let shown = |command: &clap::Command| !command.is_hide_set();
        for command in Cli::command().get_subcommands().filter(|command| shown(command)) {
            let name = command.get_name();
            assert!(page("isthmus.1").contains(name.split('-').next().unwrap()), "{name}");
            let text = page(&format!("isthmus-{name}.1"));
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(text.contains(&option.replace('-', "\\-")), "{name} --{option}");
            }
            for shell in ["isthmus.bash", "_isthmus", "isthmus.fish"] {
                let text = fs::read_to_string(dir.path().join("completions").join(shell)).unwrap();
                assert!(text.contains(name), "{shell}: {name}");
            }
        }
        assert!(page("isthmus-site-keys-new.1").contains("NAME"));
        for shell in ["isthmus.bash", "_isthmus", "isthmus.fish"] {
            let text = fs::read_to_string(dir.path().join("completions").join(shell)).unwrap();
            assert!(!text.contains("bench-bare-server") && text.contains("log-format"), "{shell}");
        }
        let backup = page("isthmus-backup.1");
        let example =
            backup.split(".nf\n").nth(1).and_then(|rest| rest.split(".fi\n").next()).unwrap_or_default();
        assert!(example.starts_with("  isthmus backup"), "{backup}");
    }
}
