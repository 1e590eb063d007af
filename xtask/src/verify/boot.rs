//! The service under a systemd that was really booted, in a container without a network but its own loopback.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Pair, Table, deb::DATA, root::Root, says};
use crate::tool::{Done, ask};

/// How long a boot may take.
const BOOT: Duration = Duration::from_secs(120);
/// How long the watchdog may take: 30 s until it is missed, 5 s until the process is ended, 2 s until it is started again, and
/// as much again for a busy machine.
const WATCHDOG: Duration = Duration::from_secs(90);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);

/// A system that runs; ended when dropped.
struct Booted {
    nspawn: Child,
    /// The process that is the first one in there.
    leader: String,
}

impl Booted {
    fn boot(root: &Root) -> Done<Self> {
        let console = root.path().with_extension("console");
        let console = File::create(&console).map_err(|error| format!("{}: {error}", console.display()))?;
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.args([
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--console=read-only",
            "--boot",
        ]);
        nspawn.arg("--directory").arg(root.path()).stdin(Stdio::null()).stderr(Stdio::null()).stdout(console);
        let nspawn = nspawn.spawn().map_err(|error| format!("systemd-nspawn: {error}"))?;
        let mut booted = Self { nspawn, leader: String::new() };
        let children = format!("/proc/{0}/task/{0}/children", booted.nspawn.id());
        booted
            .wait(BOOT, || {
                let told = fs::read_to_string(&children).map_err(|error| error.to_string())?;
                told.split_whitespace()
                    .next()
                    .map(str::to_owned)
                    .ok_or_else(|| "nothing was started".to_owned())
            })
            .map(|leader| booted.leader = leader)?;
        // Degraded is a machine of which a part did not start, such as its own network: none of ours.
        booted.wait(BOOT, || booted.shell("systemctl is-system-running | grep -E 'running|degraded'"))?;
        Ok(booted)
    }

    /// Runs a line of shell in there; both outputs together.
    fn shell(&self, line: &str) -> Done<String> {
        let mut nsenter = Command::new("nsenter");
        nsenter.args([
            "--target",
            &self.leader,
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wd",
            "--",
        ]);
        nsenter.args(["/bin/sh", "-c", &format!("exec 2>&1; {line}")]).env_clear();
        ask(nsenter.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C"))
    }

    /// Tries until it is good, or for so long.
    fn wait(&self, patience: Duration, mut what: impl FnMut() -> Done<String>) -> Done<String> {
        let began = Instant::now();
        loop {
            match what() {
                Err(error) if began.elapsed() > patience => {
                    return Err(format!("not within {patience:?}: {error}"));
                }
                Err(_) => sleep(LOOK),
                good => return good,
            }
        }
    }

    /// One property of the service.
    fn property(&self, name: &str) -> Done<String> {
        self.shell(&format!("systemctl show isthmus --property={name} --value"))
            .map(|told| told.trim().to_owned())
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let _asked = self.shell("systemctl poweroff");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(40) {
            if self.nspawn.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            sleep(LOOK);
        }
        let _killed = self.nspawn.kill();
        let _reaped = self.nspawn.wait();
    }
}

pub(super) fn run(base: &Path, pair: &Pair, table: &mut Table) -> Done {
    let root = Root::copy(base, "boot")?;
    let (old, new) = (root.receive(&pair.old.deb)?, root.receive(&pair.new.deb)?);
    let booted = Booted::boot(&root)?;
    let mut see = |what, done| table.see("boot", what, done);

    booted.shell(&format!("dpkg -i {old}"))?;
    see(
        "installed and not started",
        booted.shell("systemctl is-active isthmus || true").and_then(|told| says(&told, "inactive")),
    );
    let refused = booted.shell("systemctl start isthmus && exit 1; systemctl show isthmus -p AssertResult");
    see("without a key nothing starts", refused.and_then(|told| says(&told, "AssertResult=no")));
    see("the key is sealed to the machine", seal(&booted));

    see(
        "started by Type=notify",
        booted.shell("systemctl start isthmus").and_then(|_| {
            says(&booted.property("Type")?, "notify")?;
            says(&booted.property("ActiveState")?, "active")?;
            says(&booted.property("StatusText")?, "taking messages in").map(|_| ())?;
            booted.property("StatusText")
        }),
    );
    see("the key came as a credential", booted.shell("ls /run/credentials/isthmus.service; ls /etc/isthmus"));
    see("the store was made", booted.shell(&format!("stat -c '%U:%G %a %n' /{DATA}")));
    see("status answers", booted.shell("isthmus status | head -3"));

    see("the journal has a line's fields by themselves", journal(&booted));

    let generation = || booted.property("StatusText").and_then(|told| says(&told, "configuration 2"));
    let reload = "sed -i 's|America/New_York|Europe/Berlin|' /etc/isthmus/sites.d/main.toml && systemctl reload isthmus";
    see(
        "systemctl reload puts a change in force",
        booted.shell(reload).and_then(|_| booted.wait(Duration::from_secs(20), generation)),
    );
    see("a faulty configuration fails the reload, says why, and stops nothing", faulty_reload(&booted));
    see("the watchdog restarts a process that hangs", watchdog(&booted));
    let upgrade = format!(
        "before=$(systemctl show isthmus -p MainPID --value); dpkg -i {new} && \
                           test $before != $(systemctl show isthmus -p MainPID --value) && systemctl is-active isthmus"
    );
    see("an upgrade restarts what ran", booted.shell(&upgrade).and_then(|told| says(&told, "active")));
    let stop = "systemctl stop isthmus; systemctl show isthmus -p Result -p ExecMainStatus; \
                journalctl -u isthmus --no-pager -o cat -n 20";
    see(
        "a stop drains",
        booted.shell(stop).and_then(|told| {
            says(&told, "Result=success")?;
            says(&told, "ExecMainStatus=0")?;
            says(&told, "stopping: intake first")
        }),
    );
    see(
        "data and key stay at a purge",
        booted.shell("dpkg -P isthmus").and_then(|told| {
            says(&told, "patient data stays")?;
            booted.shell(&format!("ls -l /{DATA} /etc/isthmus/store-key.cred"))
        }),
    );
    see(
        "installed again, it opens what it left",
        booted
            .shell(&format!("dpkg -i {old} && systemctl start isthmus"))
            .and_then(|_| booted.property("StatusText")),
    );
    see("on the drop-in for systemd 249 the key is a file, and the store opens", as_on_249(&booted));
    Ok(())
}

/// Asks for the log by journald's own protocol, and reads it by its fields; then puts it back.
fn journal(booted: &Booted) -> Done<String> {
    let folder = "/etc/systemd/system/isthmus.service.d";
    let line = "mkdir -p FOLDER && printf '[Service]\\nEnvironment=ISTHMUS_LOG_FORMAT=journal\\n' >FOLDER/log.conf && \
                systemctl daemon-reload && systemctl restart isthmus";
    booted.shell(&line.replace("FOLDER", folder))?;
    let fields = "journalctl -u isthmus SYSLOG_IDENTIFIER=isthmus -o json --no-pager -n 20";
    let told = booted.wait(Duration::from_secs(20), || {
        booted.shell(fields).and_then(|told| says(&told, "\"ISTHMUS_LISTENERS\"").map(|_| told))
    });
    booted.shell(&format!("rm {folder}/log.conf && systemctl daemon-reload && systemctl restart isthmus"))?;
    told.and_then(|told| says(&told, "\"PRIORITY\""))
}

/// The key as systemd 249 can have it: the one in force, in a file of its own, by the drop-in that ships.
fn as_on_249(booted: &Booted) -> Done<String> {
    booted.shell(
        "systemctl stop isthmus && cd /etc/isthmus && umask 077 && systemd-creds decrypt --name=store-key store-key.cred store.key && \
         mv store-key.cred /root && \
         install -D -m 0644 /usr/share/doc/isthmus/examples/systemd-249.conf \
             /etc/systemd/system/isthmus.service.d/systemd-249.conf && \
         mkdir -p /etc/systemd/system/isthmus.service.d && \
         printf '[Service]\\nLoadCredentialEncrypted=\\n' >/etc/systemd/system/isthmus.service.d/000.conf && \
         systemctl daemon-reload && systemctl start isthmus",
    )?;
    booted.property("StatusText").and_then(|told| says(&told, "taking messages in"))
}

/// `isthmus init`, and the sealing where it did not do that itself.
fn seal(booted: &Booted) -> Done<String> {
    booted.shell(
        "isthmus init && cd /etc/isthmus && if [ ! -e store-key.cred ]; then systemd-creds encrypt --with-key=host \
         --name=store-key store.key store-key.cred && rm store.key; fi && ls && isthmus check",
    )
}

/// Asks for a reload of a zone that there is not, and puts it right again.
fn faulty_reload(booted: &Booted) -> Done<String> {
    let file = "/etc/isthmus/sites.d/main.toml";
    booted.shell(&format!("sed -i 's|Europe/Berlin|Europe/Berlim|' {file}"))?;
    let reload = booted.shell("systemctl reload isthmus");
    let told = booted.shell("journalctl -u isthmus --no-pager -o cat -n 20; systemctl is-active isthmus")?;
    booted.shell(&format!("sed -i 's|Europe/Berlim|Europe/Berlin|' {file} && systemctl reload isthmus"))?;
    if reload.is_ok() {
        return Err("the reload was said to be good".to_owned());
    }
    says(&told, "`timezone`")?;
    says(&told, "\nactive")?;
    let line = told.lines().find(|line| line.contains("`timezone`")).unwrap_or_default();
    Ok(line.to_owned())
}

/// Stops the process as a hang would, and waits for another one in its place.
fn watchdog(booted: &Booted) -> Done<String> {
    let (before, began) = (booted.property("MainPID")?, Instant::now());
    booted.shell(&format!("kill -STOP {before}"))?;
    booted.wait(WATCHDOG, || {
        let (now, state) = (booted.property("MainPID")?, booted.property("ActiveState")?);
        let restarts = booted.property("NRestarts")?;
        match now != before && now != "0" && state == "active" {
            true => {
                Ok(format!("another process after {} s, NRestarts={restarts}", began.elapsed().as_secs()))
            }
            false => Err(format!("{state}, NRestarts={restarts}")),
        }
    })
}
