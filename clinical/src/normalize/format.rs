//! The formats of exports, by name.

use std::str::FromStr;

/// A format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Dexcom Clarity.
    Clarity,
    /// Abbott LibreView.
    LibreView,
    /// Medtronic CareLink.
    CareLink,
    /// Glooko.
    Glooko,
    /// xDrip+ and what writes the same table for SiDiary.
    XDrip,
    /// Entries of Nightscout, as JSON or CSV.
    Nightscout,
    /// Data of the Tidepool platform, as JSON.
    Tidepool,
    /// An answer of the Dexcom API, as JSON.
    DexcomApi,
    /// The XML of an Apple Health export.
    AppleHealth,
}

/// The name is not one of [`Format::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such format")]
pub struct UnknownFormat;

impl Format {
    /// Every format, in the order in which they are tried. A new one goes to the end: places in this list are stored (with
    /// app events).
    pub const ALL: &'static [Self] = &[
        Self::Clarity,
        Self::LibreView,
        Self::CareLink,
        Self::Glooko,
        Self::XDrip,
        Self::Nightscout,
        Self::Tidepool,
        Self::DexcomApi,
        Self::AppleHealth,
    ];

    /// Its name for scripts and options: lower case, no blanks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clarity => "clarity",
            Self::LibreView => "libreview",
            Self::CareLink => "carelink",
            Self::Glooko => "glooko",
            Self::XDrip => "xdrip",
            Self::Nightscout => "nightscout",
            Self::Tidepool => "tidepool",
            Self::DexcomApi => "dexcom-api",
            Self::AppleHealth => "apple-health",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Clarity => "Dexcom Clarity",
            Self::LibreView => "LibreView",
            Self::CareLink => "Medtronic CareLink",
            Self::Glooko => "Glooko",
            Self::XDrip => "xDrip+",
            Self::Nightscout => "Nightscout",
            Self::Tidepool => "Tidepool",
            Self::DexcomApi => "Dexcom API",
            Self::AppleHealth => "Apple Health",
        }
    }

    /// How times are written in it, in words.
    #[must_use]
    pub const fn time_form(self) -> &'static str {
        match self {
            Self::Clarity => "YYYY-MM-DDThh:mm:ss",
            Self::LibreView | Self::Glooko => "a date and hh:mm, all dates in one order",
            Self::CareLink => "a date and hh:mm:ss, all dates in one order",
            Self::XDrip => "DD.MM.YYYY and hh:mm",
            Self::Nightscout => "milliseconds since 1970, or YYYY-MM-DDThh:mm:ss and an offset",
            Self::Tidepool | Self::DexcomApi => "YYYY-MM-DDThh:mm:ss and an offset",
            Self::AppleHealth => "YYYY-MM-DD hh:mm:ss and an offset",
        }
    }

    /// The titles of all of them, divided by commas.
    #[must_use]
    pub fn titles() -> String {
        Self::ALL.iter().map(|format| format.title()).collect::<Vec<_>>().join(", ")
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// The format of a [`Format::name`].
    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.iter().copied().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_name_and_no_two_share_one() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(*format));
            assert!(format.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        }
        assert_eq!("Clarity".parse::<Format>(), Err(UnknownFormat));
    }
}
