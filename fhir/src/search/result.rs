//! Parameters that say what the answer looks like (search.html, "Managing Returned Resources").

/// What of each resource is sent (`_summary`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    /// All of it.
    #[default]
    False,
    /// The elements that the standard marks.
    True,
    /// The narrative and what must be there.
    Text,
    /// All but the narrative.
    Data,
    /// The number alone.
    Count,
}

impl Summary {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "false" => Self::False,
            "true" => Self::True,
            "text" => Self::Text,
            "data" => Self::Data,
            "count" => Self::Count,
            _ => return None,
        })
    }
}

/// Whether the number of all that match is asked for (`_total`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Total {
    /// No.
    #[default]
    None,
    /// About.
    Estimate,
    /// Exactly.
    Accurate,
}

impl Total {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "estimate" => Self::Estimate,
            "accurate" => Self::Accurate,
            _ => return None,
        })
    }
}
