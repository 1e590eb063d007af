//! `[consent]` of a site file: what holds for patients of whom the consent ledger says nothing.

use outbox::Purpose;

use super::section::Section;

/// What a site's file says, each purpose for itself; `None` leaves it to the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteConsent {
    /// Write-back to those who treat the patient: `ehr:` and `mllp:` destinations. The box permits it.
    pub treatment: Option<bool>,
    /// Analytics upstream. The box does as `consent` of `[upstream]` says, else it denies.
    pub upstream: Option<bool>,
    /// Export to who pays. The box denies it.
    pub payer: Option<bool>,
}

impl SiteConsent {
    /// What holds for a purpose at this site; `box_upstream` is the `consent` of `[upstream]`.
    pub fn permits(&self, purpose: Purpose, box_upstream: bool) -> bool {
        let (said, of_the_box) = match purpose {
            Purpose::Treatment => (self.treatment, purpose.is_permitted_by_default()),
            Purpose::Upstream => (self.upstream, box_upstream),
            Purpose::Payer => (self.payer, purpose.is_permitted_by_default()),
        };
        said.unwrap_or(of_the_box)
    }
}

/// Reads `[consent]`.
pub(super) fn read_consent(root: &Section<'_>) -> SiteConsent {
    let words = [("deny", false), ("permit", true)];
    let read = root.table("consent", |section| {
        Some(SiteConsent {
            treatment: section.choice("treatment", &words, &[]),
            upstream: section.choice("upstream", &words, &[]),
            payer: section.choice("payer", &words, &[]),
        })
    });
    read.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_says_more_than_the_box_and_the_box_more_than_nobody() {
        let silent = SiteConsent::default();
        for (site, box_upstream, wanted) in [
            (silent, false, [true, false, false]),
            (silent, true, [true, true, false]),
            (SiteConsent { upstream: Some(false), ..silent }, true, [true, false, false]),
            (SiteConsent { upstream: Some(true), ..silent }, false, [true, true, false]),
            (
                SiteConsent { treatment: Some(false), payer: Some(true), ..silent },
                false,
                [false, false, true],
            ),
        ] {
            assert_eq!(Purpose::ALL.map(|purpose| site.permits(purpose, box_upstream)), wanted);
        }
    }
}
