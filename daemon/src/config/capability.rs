//! `[capability]` of a site's file: what the site permits at the most.

use super::section::Section;
use crate::{capability::Capability, mode::Mode};

/// `[capability]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permits {
    /// What is permitted as a whole; read-only where the file does not say.
    pub mode: Mode,
    /// With [`Mode::Partial`]: what may be written. Empty otherwise.
    pub allow: Vec<Capability>,
    /// Whether windows of the past, from an import, are written too; they yield to all others.
    pub bulk: bool,
    /// What goes out when the site permits writes again.
    pub on_recovery: OnRecovery,
}

impl Default for Permits {
    fn default() -> Self {
        Self { mode: Mode::ReadOnly, allow: Vec::new(), bulk: true, on_recovery: OnRecovery::Latest }
    }
}

/// Which of the deferred writes go out when the site permits them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRecovery {
    /// `"latest"`: of each patient the latest window of each length; older ones are suppressed as stale.
    Latest,
    /// `"all"`: every one, in order.
    All,
}

impl OnRecovery {
    const ALL: [Self; 2] = [Self::Latest, Self::All];

    /// The word as it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::All => "all",
        }
    }
}

impl Permits {
    /// Reads the table.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        section.require("mode", "mode = \"shadow\", \"read-only\", \"partial\" or \"full\"");
        let mode = section.choice("mode", &Mode::ALL.map(|mode| (mode.word(), mode)), &[]);
        let listed = section.choices("allow", &Capability::ALL.map(|one| (one.name(), one)));
        let shipped = Self::default();
        let bulk = section.flag("bulk").unwrap_or(shipped.bulk);
        let words = OnRecovery::ALL.map(|word| (word.name(), word));
        let on_recovery = section.choice("on_recovery", &words, &[]).unwrap_or(shipped.on_recovery);
        let (mode, written) = (mode?, section.has("allow"));
        let allow = match mode {
            Mode::Partial => {
                section.require(
                    "allow",
                    "allow = [\"Observation\", \"Provenance\"], the kinds that may be written",
                );
                listed?
            }
            Mode::Shadow | Mode::ReadOnly | Mode::Full if written => {
                section.fault(
                    "allow",
                    "goes with mode = \"partial\" only",
                    "remove it, or write mode = \"partial\"",
                );
                return None;
            }
            Mode::Shadow | Mode::ReadOnly | Mode::Full => Vec::new(),
        };
        Some(Self { mode, allow, bulk, on_recovery })
    }
}
