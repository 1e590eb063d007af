//! What may be wanted, and by whom: the closed kinds, their bounds, and what a person's words may hold.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    decimal::Decimal,
    fhir::{
        metric::LOINC,
        projection::Projection,
        quantity::{UCUM, number},
        reading::READING_CODES,
    },
    reading::Instant,
};

/// Longest text of a note: a screen or two. It stays under what the allow-list decodes, and under any EHR's limit.
pub const TEXT_MOST_BYTES: usize = 2_000;
/// Longest name or role.
pub const NAME_MOST_BYTES: usize = 120;
/// LOINC's code for the share of time in the target range.
const IN_RANGE_CODE: &str = "97510-2";
/// Glucose that a goal may name, in mg/dL and in tenths of mmol/L: what sensors report.
const GLUCOSE: [(u16, u16); 2] = [(40, 400), (22, 222)];

/// The unit of a glucose goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoalUnit {
    /// mg/dL, whole numbers.
    MgDl,
    /// mmol/L, in tenths.
    MmolL,
}

/// A goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "goal", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Goal {
    /// A share of time in the target range.
    TimeInRange {
        /// At least so many percent: 1 to 100.
        percent: u8,
    },
    /// The target range itself.
    TargetRange {
        /// Its bottom, in mg/dL or in tenths of mmol/L.
        low: u16,
        /// Its top, likewise; above the bottom.
        high: u16,
        /// In which of these.
        unit: GoalUnit,
    },
}

/// What is wanted. Its `Debug` shows the kind alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// A note about an outcome, or about the patient.
    Note {
        /// What it says.
        text: String,
    },
    /// A goal.
    Goal {
        /// Which.
        goal: Goal,
    },
    /// An outcome in a form of the site that it was not written in.
    Flowsheet {
        /// The form's name.
        form: String,
    },
    /// What stands of a window is marked as entered in error.
    Withdraw,
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl Wish {
    /// Its kind, as it is stored and shown.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Note { .. } => "note",
            Self::Goal { .. } => "goal",
            Self::Flowsheet { .. } => "flowsheet",
            Self::Withdraw => "withdraw",
        }
    }
}

/// Why a wish or a signature is not taken. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishFault {
    /// No text.
    #[error("a note has to say something")]
    Empty,
    /// A longer text than a note has room for.
    #[error("a note has at most {TEXT_MOST_BYTES} bytes")]
    Long,
    /// Control characters, and those that turn the direction of text.
    #[error(
        "a note has letters, signs and line feeds: no other control character, and none that turns the text's direction"
    )]
    Control,
    /// A name or a role that is none.
    #[error(
        "a name or a role is one line of 1 to {NAME_MOST_BYTES} bytes without control characters or ones that turn the text's direction"
    )]
    Name,
    /// A share that is none.
    #[error("a share of time is 1 to 100 percent")]
    Share,
    /// A range that is none.
    #[error("a target range lies within 40 to 400 mg/dL (2.2 to 22.2 mmol/L), its bottom under its top")]
    Range,
}

impl Wish {
    /// Whether it can be taken.
    ///
    /// # Errors
    /// [`WishFault`].
    pub fn check(&self) -> Result<(), WishFault> {
        match self {
            Self::Note { text } if text.trim().is_empty() => Err(WishFault::Empty),
            Self::Note { text } if text.len() > TEXT_MOST_BYTES => Err(WishFault::Long),
            Self::Note { text } if !is_text(text) => Err(WishFault::Control),
            Self::Goal { goal: Goal::TimeInRange { percent } } if !(1..=100).contains(percent) => {
                Err(WishFault::Share)
            }
            Self::Goal { goal: Goal::TargetRange { low, high, unit } } => {
                let (least, most) = GLUCOSE[*unit as usize];
                if least <= *low && low < high && *high <= most { Ok(()) } else { Err(WishFault::Range) }
            }
            Self::Flowsheet { form } if Projection::of_name(form).is_none() => Err(WishFault::Name),
            _ => Ok(()),
        }
    }
}

impl Goal {
    /// The goal in words, as `description` and a note have it.
    pub fn words(self) -> String {
        match self {
            Self::TimeInRange { percent } => format!("Time in range: at least {percent} %"),
            Self::TargetRange { low, high, unit: GoalUnit::MgDl } => {
                format!("Glucose target range: {low} to {high} mg/dL")
            }
            Self::TargetRange { low, high, unit: GoalUnit::MmolL } => format!(
                "Glucose target range: {}.{} to {}.{} mmol/L",
                low / 10,
                low % 10,
                high / 10,
                high % 10
            ),
        }
    }

    /// The goal of such words; `None` where they are no goal in our words.
    pub fn of_words(text: &str) -> Option<Self> {
        let goal = match text.strip_prefix("Time in range: at least ") {
            Some(rest) => Self::TimeInRange { percent: rest.strip_suffix(" %")?.parse().ok()? },
            None => {
                let (range, unit) = text.strip_prefix("Glucose target range: ")?.rsplit_once(' ')?;
                let (low, high) = range.split_once(" to ")?;
                let unit = if unit == "mg/dL" { GoalUnit::MgDl } else { GoalUnit::MmolL };
                let number = |text: &str| match unit {
                    GoalUnit::MgDl => text.parse().ok(),
                    GoalUnit::MmolL => text.replacen('.', "", 1).parse().ok(),
                };
                Self::TargetRange { low: number(low)?, high: number(high)?, unit }
            }
        };
        // Other spellings of the same number are not our words.
        (goal.words() == text).then_some(goal)
    }

    pub(super) fn target(self) -> Value {
        let coded = |code: &str| json!({ "coding": [{ "system": LOINC, "code": code }] });
        let quantity =
            |value: Value, unit: &str| json!({ "value": value, "unit": unit, "system": UCUM, "code": unit });
        match self {
            Self::TimeInRange { percent } => {
                let mut least = quantity(percent.into(), "%");
                least["comparator"] = ">=".into();
                json!({ "measure": coded(IN_RANGE_CODE), "detailQuantity": least })
            }
            Self::TargetRange { low, high, unit } => {
                let value = |it: u16| match unit {
                    GoalUnit::MgDl => json!(it),
                    GoalUnit::MmolL => Decimal::new(i64::from(it), 1).map_or(Value::Null, number),
                };
                let (code, name) = match unit {
                    GoalUnit::MgDl => (READING_CODES[0], "mg/dL"),
                    GoalUnit::MmolL => (READING_CODES[1], "mmol/L"),
                };
                json!({ "measure": coded(code), "detailRange": {
                    "low": quantity(value(low), name), "high": quantity(value(high), name),
                } })
            }
        }
    }
}

/// Who wants it. No Debug: it names people.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Who said it.
    pub author: &'a str,
    /// In which role, as given.
    pub role: Option<&'a str>,
    /// For whom the author acted.
    pub behalf: Option<&'a str>,
    /// Who typed it, as the kernel tells; `None` where the author did.
    pub transcriber: Option<&'a str>,
    /// When it was entered.
    pub entered: Instant,
}

impl Signature<'_> {
    /// Whether its names can be written.
    ///
    /// # Errors
    /// [`WishFault::Name`].
    pub fn check(&self) -> Result<(), WishFault> {
        let names = [Some(self.author), self.role, self.behalf, self.transcriber];
        if names.into_iter().flatten().all(is_name) { Ok(()) } else { Err(WishFault::Name) }
    }
}

/// True for what a text of a person may hold.
pub(super) fn is_text(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || is_plain(c))
}

/// True for a name or a role in one line.
pub(in crate::fhir) fn is_name(text: &str) -> bool {
    (1..=NAME_MOST_BYTES).contains(&text.len()) && !text.trim().is_empty() && text.chars().all(is_plain)
}

/// True for what stands where it is written. Not so: control characters, the separators of lines and paragraphs, which
/// would begin a line of the head, and what turns the direction of the text around it (Unicode, UAX 9, section 2). Joiners
/// are letters' own.
fn is_plain(c: char) -> bool {
    let turns =
        matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// True for a goal in our words.
pub(in crate::fhir) fn is_goal(text: &str) -> bool {
    let numbers = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b' ');
    let share = text.strip_prefix("Time in range: at least ").and_then(|rest| rest.strip_suffix(" %"));
    let range = text.strip_prefix("Glucose target range: ").and_then(|rest| {
        rest.strip_suffix(" mg/dL").or_else(|| rest.strip_suffix(" mmol/L"))?.split_once(" to ")
    });
    share.is_some_and(numbers) || range.is_some_and(|(low, high)| numbers(low) && numbers(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_names_hold_nothing_that_breaks_a_line_or_turns_it() {
        for bad in [
            '\u{202e}', '\u{2066}', '\u{2069}', '\u{200f}', '\u{061c}', '\u{2028}', '\u{2029}', '\u{85}',
            '\u{1b}',
        ] {
            let text = format!("Dr. {bad}Quibble");
            assert!(!is_name(&text) && !is_text(&text), "{}", bad.escape_unicode());
            assert_eq!(Wish::Note { text }.check(), Err(WishFault::Control));
        }
        for good in ["Dr. Quibble", "د. كويبل", "ד\"ר קוויבל", "क्\u{200d}ष", "Zoë – Ångström"]
        {
            assert!(is_name(good) && is_text(good), "{good}");
        }
        assert!(is_text("two\nlines") && !is_name("two\nlines"));
    }
}
