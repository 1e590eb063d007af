//! The Observations of an outcome: a closed set with its LOINC codes, profiles and stable slugs.
//!
//! Source of every code: HL7 CGM IG 1.0.0, `input/fsh/profiles.fsh`; reference: cgm, section 6.

/// LOINC's code system.
pub const LOINC: &str = "http://loinc.org";
/// Where the guide's profiles live.
pub const PROFILE_BASE: &str = "http://hl7.org/fhir/uv/cgm/StructureDefinition/";

/// One Observation of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// The panel that names the others: the primary write.
    Summary,
    /// Mean glucose in mg/dL.
    MeanMass,
    /// Mean glucose in mmol/L.
    MeanMolar,
    /// The five shares of time.
    TimesInRanges,
    /// Glucose management indicator.
    Gmi,
    /// Coefficient of variation.
    Cv,
    /// Local days with a reading.
    DaysOfWear,
    /// Share of the window with a reading.
    SensorActive,
}

impl Metric {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 8] = [
        Self::Summary,
        Self::MeanMass,
        Self::MeanMolar,
        Self::TimesInRanges,
        Self::Gmi,
        Self::Cv,
        Self::DaysOfWear,
        Self::SensorActive,
    ];

    /// A name that never changes: it is part of the identifier.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::MeanMass => "mean-mass",
            Self::MeanMolar => "mean-molar",
            Self::TimesInRanges => "times-in-ranges",
            Self::Gmi => "gmi",
            Self::Cv => "cv",
            Self::DaysOfWear => "days-of-wear",
            Self::SensorActive => "sensor-active",
        }
    }

    /// The metric of a slug; `None` for any other text.
    pub fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.slug() == slug)
    }

    /// The LOINC code.
    pub const fn loinc(self) -> &'static str {
        match self {
            Self::Summary => "107931-8",
            Self::MeanMass => "97507-8",
            Self::MeanMolar => "105273-7",
            Self::TimesInRanges => "106793-3",
            Self::Gmi => "97506-0",
            Self::Cv => "104638-2",
            Self::DaysOfWear => "104636-6",
            Self::SensorActive => "104637-4",
        }
    }

    /// The last part of the profile's canonical URL, after [`PROFILE_BASE`].
    pub const fn profile(self) -> &'static str {
        match self {
            Self::Summary => "cgm-summary",
            Self::MeanMass => "cgm-summary-mean-glucose-mass-per-volume",
            Self::MeanMolar => "cgm-summary-mean-glucose-moles-per-volume",
            Self::TimesInRanges => "cgm-summary-times-in-ranges",
            Self::Gmi => "cgm-summary-gmi",
            Self::Cv => "cgm-summary-coefficient-of-variation",
            Self::DaysOfWear => "cgm-summary-days-of-wear",
            Self::SensorActive => "cgm-summary-sensor-active-percentage",
        }
    }

    /// True where the profile demands a value (`valueQuantity` 1..1). The guide leaves no room for a
    /// withheld GMI or an absent CV, so such a resource must not claim the profile.
    pub const fn profile_demands_value(self) -> bool {
        matches!(self, Self::Gmi | Self::Cv | Self::DaysOfWear | Self::SensorActive)
    }

    /// What people read beside the code.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Summary => "CGM summary",
            Self::MeanMass | Self::MeanMolar => "Mean glucose",
            Self::TimesInRanges => "Times in ranges",
            Self::Gmi => "Glucose management indicator (GMI)",
            Self::Cv => "Coefficient of variation (CV)",
            Self::DaysOfWear => "Days of wear",
            Self::SensorActive => "Sensor active percentage",
        }
    }
}

/// The five components of [`Metric::TimesInRanges`], in ascending order of glucose: LOINC and title.
pub const RANGES: [(&str, &str); 5] = [
    ("104642-4", "Time very low"),
    ("104641-6", "Time low"),
    ("97510-2", "Time in target"),
    ("104640-8", "Time high"),
    ("104639-0", "Time very high"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_metrics_have_one_slug() {
        let slugs: BTreeSet<_> = Metric::ALL.map(Metric::slug).into();
        assert_eq!(slugs.len(), Metric::ALL.len());
        assert!(Metric::ALL.iter().all(|metric| Metric::of_slug(metric.slug()) == Some(*metric)));
    }
}
