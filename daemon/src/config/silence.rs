//! `[silence]`: from when on a feed that says nothing is told to people.

use std::time::Duration;

use jiff::civil::Date;

use super::section::Section;

/// The shortest fixed limit; a rehearsal wants seconds.
const LEAST: Duration = Duration::from_secs(1);
/// The longest: a month.
const MOST: Duration = Duration::from_secs(31 * 86_400);
/// What a fault suggests.
const USUAL: Duration = Duration::from_secs(3_600);
/// The most holidays: those of ten years.
const MOST_HOLIDAYS: usize = 200;

/// `[silence]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// What holds for feeds that are not named.
    pub usual: SilenceRule,
    /// Feeds with a rule of their own.
    pub feeds: Vec<(String, SilenceRule)>,
    /// Days on which feeds are judged as on a Sunday.
    pub holidays: Vec<Date>,
}

/// From when on a feed is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SilenceRule {
    /// Three times what is usual for it at that hour of the week, as it was learned.
    #[default]
    Learned,
    /// Never.
    Off,
    /// After so long, at any hour.
    Fixed(Duration),
}

impl SilenceRule {
    /// The fixed limit in seconds.
    pub fn fixed_s(self) -> Option<i64> {
        match self {
            Self::Fixed(limit) => i64::try_from(limit.as_secs()).ok(),
            Self::Learned | Self::Off => None,
        }
    }
}

impl Silence {
    /// What holds for a feed.
    pub fn rule(&self, name: &str) -> SilenceRule {
        self.feeds.iter().find(|(feed, _)| feed == name).map_or(self.usual, |(_, rule)| *rule)
    }
}

/// Reads `[silence]`; `sources` are the names of feeds that there are.
pub(super) fn read_silence(root: &Section<'_>, sources: &[String]) -> Silence {
    let read = root.table("silence", |section| {
        let words = [("learned", SilenceRule::Learned), ("off", SilenceRule::Off)];
        let usual = section.choice("feeds_not_named", &words, &[]).unwrap_or_default();
        let example =
            "[{ name = \"interface-engine\", limit = \"45m\" }, { name = \"drop\", rule = \"off\" }]";
        let feeds = section.entries("feeds", example, |feed| {
            feed.require(
                "name",
                "name = \"interface-engine\", the name of a listener or spool, or \"fhir/\" and a client's",
            );
            let name = feed.text("name", "\"interface-engine\"").map(str::to_owned);
            let rule = feed.choice("rule", &words, &[]);
            let limit = feed.duration("limit", LEAST..=MOST, USUAL);
            if feed.has("rule") == feed.has("limit") {
                feed.fault(
                    "name",
                    "wants one of rule and limit",
                    "write limit = \"1h\", or rule = \"off\" or \"learned\"",
                );
            }
            let name = name?;
            if !sources.contains(&name) {
                let known = sources.join(", ");
                feed.fault("name", &format!("= \"{name}\" is no source"), format!("write one of {known}"));
            }
            Some((name, limit.map(SilenceRule::Fixed).or(rule)?))
        });
        let holidays = read_holidays(section);
        Some(Silence { usual, feeds, holidays })
    });
    read.unwrap_or_default()
}

fn read_holidays(section: &Section<'_>) -> Vec<Date> {
    let Some(texts) = section.texts("holidays", "[\"2026-12-25\", \"2027-01-01\"]") else {
        return Vec::new();
    };
    if texts.len() > MOST_HOLIDAYS {
        section.fault("holidays", "is too long a list", format!("write at most {MOST_HOLIDAYS}"));
    }
    let mut days = Vec::new();
    for text in texts.iter().take(MOST_HOLIDAYS) {
        match text.parse::<Date>().ok().filter(|_| text.len() == 10) {
            Some(day) => days.push(day),
            None => section.fault(
                "holidays",
                &format!("has no date of the calendar in \"{text}\""),
                "write year, month and day: \"2026-12-25\"",
            ),
        }
    }
    days
}
