//! What each kind of condition means to people, what to do, and how urgent it is: one table, for `isthmus status`, for its exit
//! codes, and for alerts (`etc/prometheus/alerts.yml` says the same severities).
//!
//! The detail of a condition says what happened here; this says what that is. No sentence depends on the detail.

use super::Kind;

/// Who has to look, and when. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A person now: messages are not taken, writes go wrong or stand still, or the record is in doubt.
    Page,
    /// A person today.
    Ticket,
    /// Nothing is wrong yet; somebody has to plan something.
    Notice,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Page, Self::Ticket, Self::Notice];

    /// As alerts name it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Notice => "notice",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// How urgent it is.
    pub severity: Severity,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// What to do; commands as they are typed.
    pub action: &'static str,
}

macro_rules! advice_table {
    ($($kind:ident $severity:ident $meaning:literal $action:literal)+) => {
        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// What it means, what to do, and how urgent it is.
            pub const fn advice(self) -> Advice {
                match self {
                    $(Self::$kind => Advice {
                        severity: Severity::$severity, meaning: $meaning, action: $action,
                    }),+
                }
            }
        }
    };
}

advice_table! {
    StoreRefuses Page
        "The store takes no commits, so no message is acknowledged. Senders keep theirs; nothing acknowledged is lost."
        "Look at the free space and the health of the disk under data_dir: df -h, dmesg. It goes on by itself."
    PipelineStalled Page
        "Messages are taken in and acknowledged, but not computed: the pipeline meets a fault again and again."
        "Look at the detail and at the log: journalctl -u isthmus -n 100. It is tried again by itself; if it lasts, restart the daemon."
    ClockJumped Page
        "The clock jumped, and no outcome is published until it is believed again."
        "Set the clock and see that it is kept by NTP: timedatectl. Publishing goes on by itself once the clock runs steadily."
    Standstill Page
        "The store may not know what was written, after a restore, a copy or a fault: nothing leaves. Messages are taken in as ever."
        "isthmus standstill show says why. Have the engines send again what is missing, then: isthmus standstill end --reason TEXT."
    AuditBroken Page
        "The audit log does not verify: it was changed behind the daemon's back."
        "Tell who answers for security. isthmus audit verify names the entry. Change nothing: the machine and its backups are evidence."
    BodyCorrupt Page
        "Stored bytes are not what was stored: this machine damaged them, or something else than Isthmus changed them. They are not sent."
        "Call support. Look at the disk and the memory (dmesg, SMART), then put the last good backup back: isthmus restore FILE --check, and in earnest."
    ConsentLedgerBroken Page
        "The consent ledger does not verify: it was changed behind the daemon's back. What it says goes on to hold."
        "Tell who answers for privacy. isthmus consent verify names the entry. Compare with a backup before anything else is written."
    AuthDegraded Page
        "A destination does not accept our credentials; nothing is written there, and writes wait."
        "Look at the certificate, the keys and the client's registration there: isthmus site show, isthmus site keys list."
    NoToken Page
        "A destination wants tokens, and there is none to be had; writes wait."
        "The detail says what its token endpoint answered. See that the client is registered with our keys: isthmus site keys publish."
    ServerMoved Page
        "A destination has another address than the one that was written to; nothing is sent until a person says what it is."
        "Ask the EHR's side whether it is the same server, then: isthmus site moved SITE --same-server --reason TEXT, or --other-server."
    OutboundHalted Page
        "A receiver refused a message, and nothing more is sent there so that the order is kept. Messages wait."
        "isthmus outbound list shows it. Once the cause is gone: isthmus outbound resume NAME; or leave the message out: skip NAME."
    ConfigRejected Ticket
        "The configuration on disk is faulty; the one before it stays in force."
        "isthmus check names every fault with its line. A restart would fail now."
    RestartNeeded Notice
        "The configuration on disk holds a change that takes effect only after a restart."
        "Restart the daemon when it suits: systemctl restart isthmus. Senders keep their messages meanwhile."
    ReadOnly Ticket
        "A destination refuses writes, or a person holds them. They wait; intake and outcomes go on."
        "Ask the EHR's side for the permission that the detail names. It opens again by itself after a test write; what a person holds: isthmus site release."
    QuotaUsedUp Ticket
        "What a destination takes in a day is used up, and writes wait for the next day."
        "Nothing is lost. If it happens again, agree on a larger quota and set it in the site's file."
    DoubtLasts Ticket
        "Whether a write arrived is not known, and the destination does not show it. What follows in its line waits."
        "Where the detail says that it does not answer, have it back first. Else look into the chart, then: isthmus queue settle."
    DestinationSilent Ticket
        "A destination cannot be reached or does not answer. Writes wait, in order; intake and outcomes go on."
        "Look at the way there and ask the EHR's side whether it runs. It is tried again by itself, and what waits is sent."
    OutboundSilent Ticket
        "A receiver of messages cannot be reached or does not answer. Messages for it wait, in order."
        "Ask the receiver's side. It is tried again by itself."
    OutboundRefused Ticket
        "A receiver refuses a message that is sent again and again, and its line waits."
        "Ask the receiver's side what its answer means; isthmus outbound list shows the row, isthmus outbound skip leaves it out."
    ScopeMissing Ticket
        "A token grants less than was asked for; what it does not grant cannot be written."
        "Have the missing scopes granted at the EHR, then: systemctl reload isthmus."
    ClockSkewed Ticket
        "A token endpoint's clock is too far from ours to be made up for; tokens may be refused."
        "Set this box's clock by NTP (timedatectl), or have the EHR's set."
    WindowFailed Ticket
        "A window could not be computed or made into resources; it is not published."
        "The detail has the reason. It is tried again every hour, and when its data change."
    WithdrawalNeeded Ticket
        "What was written for a window is wrong now: its readings were taken back, or its patient was merged into another."
        "Mark it there by hand as entered in error. The detail says why the box could not, and what to type afterwards."
    AmendmentNeeded Ticket
        "What stands in a chart has other numbers than the newest outcome, and no write can replace it there."
        "Amend it there by hand. The detail has the numbers, and what to type afterwards."
    NumberWithheld Ticket
        "A number stands in a chart that the newest outcome of its window no longer gives."
        "Mark it there by hand as entered in error. The detail says which number, and what to type afterwards."
    PatientInDoubt Ticket
        "Birth dates of a patient contradict each other, or a destination has several patients of that number; its writes are held."
        "isthmus identity list and links show what is known; unmerge or agree to the link, or have the EHR's entry put right."
    IntentWaiting Ticket
        "What people want written is held until somebody decides."
        "isthmus intent list --state held; then isthmus intent confirm, or cancel."
    SpoolUnavailable Ticket
        "A spool's folder cannot be used; files dropped there are not taken."
        "The detail names the folder and what is wrong with it: owner, mode, a link. It goes on by itself once that is right."
    SpoolWaiting Ticket
        "Files in a spool do not become whole: their sidecar or their last part is missing."
        "Ask who drops them. The letters beside them say what is awaited (docs/spool.md)."
    CertificateRejected Ticket
        "New certificates of a listener or for a destination cannot be used; the ones before stay in force."
        "The detail names the file and the fault. Put it right; it is read again by itself, or at systemctl reload isthmus."
    CertificateExpiring Ticket
        "A certificate ends soon, or has ended; afterwards connections that need it fail."
        "Put the new certificate and key at the paths of the configuration; they are read without a restart."
    DiskLow Ticket
        "A disk fills up. Messages are taken for as long as the store commits; at the critical level files wait where they are."
        "Make room on the disk that the detail names, enlarge it, or let the box keep less: [retention] (docs/retention.md)."
    ClockOff Ticket
        "This machine's clock differs from those of the servers that it talks to, or its time service has not set it."
        "Look at timedatectl and chronyc tracking. Where only one other server differs, it may be that one's clock."
    CrlExpired Ticket
        "A revocation list should have been replaced; certificates revoked since are not known."
        "Fetch the new list from the certificate authority and put it at its path; it is read without a restart."
    ConnectionsFull Ticket
        "All connections of a listener are taken; more senders are turned away."
        "Look whether a sender opens connections and leaves them; else raise max_connections."
    IssuerKeys Ticket
        "The keys of an issuer of tokens cannot be fetched; its clients are turned away once the known keys are too old."
        "Look at the issuer's address, its certificate and the way to it."
    CheckInFailing Ticket
        "The fleet's upstream answers no check-in; nobody outside sees how this box is. Everything here goes on."
        "isthmus fleet status has the cause; look at the way out and at the client certificate of [fleet]."
    LeaseRefused Page
        "Another running daemon has this box's id: its store was copied, or an old one is still in use."
        "Stop the daemon that should not run; then isthmus standstill --help at the one that stays."
    FeedSilent Ticket
        "A feed has been silent for longer than is usual at this hour of the week; what it would say does not reach charts."
        "Ask the interface engine's side whether its queue stands still; isthmus status shows what was turned away."
    BundleRefused Ticket
        "A bundle of configuration from the fleet was refused, or put back; the configuration before it is in force."
        "isthmus fleet bundles says why; tell the fleet's operator."
    BundleUnusable Ticket
        "The bundle of configuration in place is missing or cannot be used; the sites that it narrowed are held read-only."
        "isthmus fleet bundles says why. Put its file or its key back, apply a good one, or isthmus fleet rollback --reason TEXT."
    AuditNotForwarded Ticket
        "Entries of the audit log do not reach the log server that the configuration names. They are kept and follow later."
        "Look at the log server, the way to it and its certificate; the detail has the cause."
    BundleWaiting Notice
        "A signed bundle of configuration from the fleet waits for a person, or for the change window."
        "isthmus fleet bundles shows what it would change; isthmus fleet apply --help."
    FeedConflict Notice
        "Two feeds say different things of one moment, or somebody's summary differs from ours."
        "isthmus conflicts list; look at each, then: isthmus conflicts settle."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_what_it_means_and_what_to_do_in_whole_sentences() {
        for kind in Kind::ALL {
            let Advice { meaning, action, .. } = kind.advice();
            for text in [meaning, action] {
                let begins = text.chars().next().is_some_and(|first| first.is_uppercase())
                    || text.starts_with("isthmus ");
                assert!(begins && text.ends_with(['.', ')']), "{}: {text}", kind.word());
                assert!(text.len() <= 200, "{}: {} bytes: {text}", kind.word(), text.len());
            }
        }
        let mut words: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
    }

    /// The kinds that an alert of this file asks for, with its severity.
    fn alerts(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for alert in text.split("- alert: ").skip(1) {
            let severity = alert.split("severity: ").nth(1).and_then(|rest| rest.split(' ').next());
            let asked = alert.split("name=").nth(1).and_then(|rest| rest.split('"').nth(1));
            let names = asked.unwrap_or_default().split('|').filter(|name| !name.is_empty());
            let is_raised_by = alert.contains("isthmus_condition{") && !alert.contains("unless");
            found.extend(
                names
                    .filter(|_| is_raised_by)
                    .map(|name| (name.to_owned(), severity.unwrap_or_default().to_owned())),
            );
        }
        found
    }

    #[test]
    fn an_alert_on_a_condition_is_as_urgent_as_the_condition() {
        let alerts = alerts(include_str!("../../../etc/prometheus/alerts.yml"));
        let mut met = 0;
        for kind in Kind::ALL {
            for (_, severity) in alerts.iter().filter(|(name, _)| name == kind.word()) {
                assert_eq!(severity, kind.advice().severity.word(), "{}", kind.word());
                met += 1;
            }
        }
        assert!(met > 20, "alerts are found in the file: {met}");
    }
}
