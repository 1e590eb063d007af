//! The glucose profile report: a sheet for each export, in one HTML document that needs nothing else.
//!
//! Invariants:
//! - A sheet prints on one page of A4 or Letter with the margins of `page/style.css`.
//! - No script, no style but the one in the head, no address: the content security policy in the head allows
//!   only that style, by its hash.
//! - Nothing is told by colour alone: ranges have patterns, curves have line styles, and both have labels.
//! - Every figure has a name, a description and its numbers in a table (`figure::Figure` has no other form);
//!   the numbers are those of the outcome, rounded as in the table for the terminal.
//! - Text of strangers (names, file names) is escaped.
//!
//! Numbers: the drawings count 4 units a millimetre, so that a sheet is 760 wide; glucose is drawn up to
//! `TOP_MG_DL`, and what is above at that height.

mod curve;
mod figure;
pub(crate) mod markup;
mod ranges;
mod scale;
mod sheet;
mod strips;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clinical::policy::Policy;
use sha2::{Digest, Sha256};

pub use self::scale::Scale;
pub use self::sheet::sheet;

/// Width of a sheet in drawing units.
const WIDTH: u32 = 760;
/// Highest glucose drawn, mg/dL (reference: one-page report).
const TOP_MG_DL: f64 = 350.0;
/// Most days a sheet has room for one by one; of a longer period the last ones are drawn.
const DAYS_DRAWN: usize = 14;

const STYLE: &str = include_str!("page/style.css");

/// How many days a page is about at the most, and where no period is named: as many as are drawn one by one, or as many
/// as the policy wants before there is a curve, so that under every policy a page can have one.
#[must_use]
pub fn most_days(policy: &Policy) -> u32 {
    policy.sufficiency.value.days.max(DAYS_DRAWN as u32)
}

/// What stands before the first sheet.
#[must_use]
pub fn head() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"isthmus {version}\">\n\
         <title>Glucose profile report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// What stands behind the last sheet.
#[must_use]
pub const fn foot() -> &'static str {
    "</body>\n</html>\n"
}

#[cfg(test)]
mod tests;
