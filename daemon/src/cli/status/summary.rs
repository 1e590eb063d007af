//! What a status says of what is wrong: how many things need whom by when, in a line; and each with what it means and what to do,
//! the worst first. Pure: a document in, words out.

use serde_json::Value;

use crate::{
    cli::{columns::hanging, daemon::text},
    conditions::{Kind, advice::Severity},
};

/// What needs a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Conditions that need one now.
    pub(super) page: usize,
    /// Today.
    pub(super) ticket: usize,
    /// Conditions to plan for.
    pub(super) notice: usize,
    /// Messages and writes that are set aside.
    pub(super) aside: u64,
    /// Whether messages are taken in: the listeners are open, and the store commits.
    pub(super) ready: bool,
}

/// A condition as the document has it.
struct Told<'a> {
    severity: Severity,
    condition: &'a Value,
}

/// The conditions, the worst first, and of those the oldest.
fn worst_first(document: &Value) -> Vec<Told<'_>> {
    let all = document["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let severity = |condition: &Value| {
        let word = condition["severity"].as_str().unwrap_or_default();
        // What an older daemon does not say is nobody's to play down.
        Severity::ALL.into_iter().find(|severity| severity.word() == word).unwrap_or(Severity::Ticket)
    };
    let mut told: Vec<_> =
        all.iter().map(|condition| Told { severity: severity(condition), condition }).collect();
    told.sort_by_key(|told| (told.severity, told.condition["since"].as_str().unwrap_or_default().to_owned()));
    told
}

/// Whether the store takes no commits: connections are accepted then, and nothing is acknowledged.
fn refuses(document: &Value) -> bool {
    let all = document["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().any(|condition| condition["name"] == Kind::StoreRefuses.word())
}

impl Summary {
    /// Of a document of status.
    pub(super) fn of(document: &Value) -> Self {
        let told = worst_first(document);
        let count = |severity| told.iter().filter(|told| told.severity == severity).count();
        let (inbox, outbox) = (&document["inbox"], &document["outbox"]);
        let aside = [&inbox["quarantined"], &inbox["unidentified"], &outbox["quarantined"]];
        Self {
            page: count(Severity::Page),
            ticket: count(Severity::Ticket),
            notice: count(Severity::Notice),
            aside: aside.into_iter().filter_map(Value::as_u64).sum(),
            ready: document["ready"] == true && !refuses(document),
        }
    }

    /// How it stands, in a line.
    pub(super) fn line(self) -> String {
        let intake = if self.ready { "intake is running" } else { "intake is NOT running" };
        let things = |count: usize| if count == 1 { "1 thing".to_owned() } else { format!("{count} things") };
        let mut parts = Vec::new();
        match (self.page, self.ticket) {
            (0, 0) => {}
            (now, 0) => parts.push(format!("{} a person now", needs(now))),
            (0, today) => parts.push(format!("{} a person today", needs(today))),
            (now, today) => {
                parts.push(format!("{} a person, {now} of them now", needs(now + today)));
            }
        }
        if self.aside > 0 {
            let set = if self.aside == 1 { "message or write is" } else { "messages and writes are" };
            parts.push(format!("{} {set} set aside", self.aside));
        }
        if self.notice > 0 {
            parts.push(format!("{} to plan", things(self.notice)));
        }
        if parts.is_empty() && self.ready {
            return "All good: nothing needs a person, and intake is running.".to_owned();
        }
        parts.push(intake.to_owned());
        format!("{}.", parts.join("; "))
    }
}

fn needs(count: usize) -> String {
    if count == 1 { "1 thing needs".to_owned() } else { format!("{count} things need") }
}

/// What is wrong in plain words, at most so wide; empty where nothing is.
pub(super) fn what_is_wrong(document: &Value, width: usize) -> String {
    let mut out = String::new();
    for Told { severity, condition } in worst_first(document) {
        let scope = text(&condition["scope"]);
        let at = if scope.is_empty() { String::new() } else { format!(" at {scope}") };
        let (name, since) = (text(&condition["name"]), text(&condition["since"]));
        out += &hanging("! ", &format!("{} {name}{at}, since {since}", mark(severity)), width);
        for (head, key) in [("", "meaning"), ("here: ", "detail"), ("do:   ", "action")] {
            // A detail may have lines of its own, as the faults of a configuration have.
            for (at, line) in text_lines(&condition[key]).into_iter().enumerate() {
                let head = if at == 0 { head } else { "      " };
                out += &hanging(&format!("    {head}"), &line, width);
            }
        }
    }
    out
}

fn text_lines(value: &Value) -> Vec<String> {
    value.as_str().unwrap_or_default().lines().map(|line| text(&Value::from(line))).collect()
}

const fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "NOW  ",
        Severity::Ticket => "today",
        Severity::Notice => "plan ",
    }
}

/// The names of what is wrong, the worst first, on one line.
pub(super) fn names(document: &Value, most: usize) -> String {
    let all = worst_first(document);
    let named = all.iter().take(most).map(|Told { condition, .. }| {
        let (name, scope) = (text(&condition["name"]), text(&condition["scope"]));
        if scope.is_empty() { name } else { format!("{name} at {scope}") }
    });
    let mut named: Vec<String> = named.collect();
    if all.len() > most {
        named.push(format!("{} more", all.len() - most));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(name: &str, severity: &str, since: &str) -> Value {
        json!({ "name": name, "scope": "", "severity": severity, "since": since, "detail": "d", "meaning": "m", "action": "a" })
    }

    #[test]
    fn the_line_says_how_many_things_need_whom_by_when() {
        let line = |page, ticket, notice, aside, ready| Summary { page, ticket, notice, aside, ready }.line();
        for (told, wanted) in [
            (line(0, 0, 0, 0, true), "All good: nothing needs a person, and intake is running."),
            (line(0, 0, 0, 0, false), "intake is NOT running."),
            (line(1, 0, 0, 0, true), "1 thing needs a person now; intake is running."),
            (line(0, 2, 0, 0, true), "2 things need a person today; intake is running."),
            (
                line(1, 1, 1, 0, false),
                "2 things need a person, 1 of them now; 1 thing to plan; intake is NOT running.",
            ),
            (line(0, 0, 2, 0, true), "2 things to plan; intake is running."),
            (line(0, 0, 0, 3, true), "3 messages and writes are set aside; intake is running."),
            (line(0, 0, 0, 1, true), "1 message or write is set aside; intake is running."),
        ] {
            assert_eq!(told, wanted);
        }
    }

    #[test]
    fn a_store_that_takes_no_commits_is_no_running_intake() {
        let of = |name: &str| {
            let document = json!({ "ready": true, "conditions": [condition(name, "page", "1")] });
            Summary::of(&document).line()
        };
        assert_eq!(of("store-refuses"), "1 thing needs a person now; intake is NOT running.");
        assert_eq!(of("no-token"), "1 thing needs a person now; intake is running.");
    }

    #[test]
    fn the_worst_stands_first_and_of_equals_the_oldest_and_no_line_is_too_wide() {
        let long = "word ".repeat(60);
        let mut last = condition("restart-needed", "notice", "1");
        last["detail"] = json!(format!("two\n{long}"));
        let document = json!({ "conditions": [
            last, condition("read-only", "ticket", "3"), condition("no-token", "page", "2"),
            condition("window-failed", "ticket", "2"), condition("new-one", "unheard-of", "1"),
        ]});
        let told = what_is_wrong(&document, 80);
        let heads: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("! ")).collect();
        assert_eq!(
            heads,
            [
                "NOW   no-token, since 2",
                "today new-one, since 1",
                "today window-failed, since 2",
                "today read-only, since 3",
                "plan  restart-needed, since 1",
            ]
        );
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
        assert!(told.contains("    here: two\n          word word"), "{told}");
        assert_eq!(names(&document, 2), "no-token, new-one, 3 more");
        assert_eq!(what_is_wrong(&json!({}), 80), "");
        let summary = Summary::of(&document);
        assert_eq!((summary.page, summary.ticket, summary.notice), (1, 3, 1));
    }
}
