//! What the engine needs to know of any quantity: its units, its components, their edges.
//!
//! Invariants: everything comes from a file of rules, so that a second condition is a file and no code; edges are
//! paired natively in every unit and values are compared in the unit they were stated in; a value is converted by
//! its unit's one factor only for mean and variability. Glucose is one component in two units and is read from its
//! own policy ([`Quantity::of_glucose`]): the same engine, asked by two kinds of file.

use crate::{
    decimal::Decimal,
    glucose::Unit,
    moments::Moments,
    policy::{BOUND_PLACES, Policy, Sheet, SheetFault, Values},
    scale::Scale,
};

/// Most units and components of a quantity.
const MAX_PARTS: usize = 16;

/// A unit that values are stated in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeUnit {
    /// The name of the field of a threshold, `mm_hg`.
    pub name: String,
    /// Its UCUM code, `mm[Hg]`.
    pub ucum: String,
    /// The unit of the sums for one of this unit; 1 for that unit itself.
    pub factor: Decimal,
}

/// One number of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name in the file, `systolic`.
    pub name: String,
    /// Its LOINC code, `8480-6`.
    pub loinc: String,
    /// The edges, by unit.
    pub(crate) scales: Vec<Scale>,
}

/// How much is needed for the figures to be representative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enough {
    /// Local days with a measurement.
    pub days: u32,
    /// Measurements.
    pub values: u32,
}

/// A quantity under one file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Name and version of the rules, `blood-pressure-home/1`.
    pub rules: String,
    /// SHA-256 of their canonical text, lower-case hex.
    pub sha256: String,
    /// The LOINC code of a measurement as a whole, where it has one.
    pub panel_loinc: Option<String>,
    /// At least one; the first is that of the sums.
    pub units: Vec<NativeUnit>,
    /// At least one.
    pub components: Vec<Component>,
    /// What the figures need.
    pub enough: Enough,
}

impl Quantity {
    /// Reads a file of rules about any quantity but glucose.
    ///
    /// # Errors
    /// Every fault of the sheet, with the line in its file.
    pub fn from_sheet(sheet: &Sheet) -> Result<Self, Vec<SheetFault>> {
        let values = Values::of(sheet);
        let read = read(&values);
        values.finish(read)
    }

    /// Glucose under a policy: one component, mg/dL and mmol/L.
    #[must_use]
    pub fn of_glucose(policy: &Policy) -> Self {
        let mark = policy.mark();
        let factor = Decimal::new(policy.factor_e4.value, 4).unwrap_or(Decimal::whole(18));
        let unit = |name: &str, ucum: &str, factor| NativeUnit {
            name: name.to_owned(),
            ucum: ucum.to_owned(),
            factor,
        };
        let scales = [Unit::MgDl, Unit::MmolL].map(|unit| Scale::new(policy.bounds(unit)));
        Self {
            rules: mark.id,
            sha256: mark.sha256,
            panel_loinc: None,
            units: vec![unit("mg_dl", "mg/dL", Decimal::whole(1)), unit("mmol_l", "mmol/L", factor)],
            components: vec![Component {
                name: "glucose".to_owned(),
                loinc: "99504-3".to_owned(),
                scales: scales.to_vec(),
            }],
            enough: Enough { days: policy.sufficiency.value.days, values: 0 },
        }
    }
}

impl NativeUnit {
    /// A value in the unit of the sums × 10⁹: exact where the places of value and factor are at most nine together.
    pub(crate) fn summed(&self, value: Decimal) -> i128 {
        let places = self.factor.places();
        value.scaled(Moments::PLACES - places) * self.factor.scaled(places)
    }
}

fn read(values: &Values<'_>) -> Option<Quantity> {
    let sheet = values.sheet;
    // All are asked for before one is given up: what nobody asks for is called unknown.
    let panel = values.optional("panel").map(|value| value.text("loinc").map(str::to_owned));
    let units = read_units(values);
    let enough = values.required("sufficiency").and_then(|value| {
        let (days, count) = (value.whole("days", 1..=90), value.whole("values", 1..=10_000));
        Some(Enough { days: days?, values: count? })
    });
    let names = values.below("components");
    if names.is_empty() || names.len() > MAX_PARTS {
        values.fault(
            "components",
            "are none or too many",
            "write [components.systolic] with loinc and source",
        );
        return None;
    }
    let components: Vec<Option<Component>> =
        names.into_iter().map(|name| read_component(values, name, units.as_deref())).collect();
    let panel_loinc = match panel {
        Some(loinc) => Some(loinc?),
        None => None,
    };
    Some(Quantity {
        rules: format!("{}/{}", sheet.id, sheet.version),
        sha256: sheet.sha256(),
        panel_loinc,
        units: units?,
        components: components.into_iter().collect::<Option<_>>()?,
        enough: enough?,
    })
}

fn read_units(values: &Values<'_>) -> Option<Vec<NativeUnit>> {
    let read: Vec<Option<NativeUnit>> =
        values.below("units").into_iter().take(MAX_PARTS).map(|name| read_unit(values, name)).collect();
    let mut units: Vec<NativeUnit> = read.into_iter().collect::<Option<_>>()?;
    let is_one = |unit: &NativeUnit| unit.factor.cmp_value(Decimal::whole(1)).is_eq();
    units.sort_by_key(|unit| !is_one(unit));
    if units.iter().filter(|unit| is_one(unit)).count() != 1 {
        values.fault(
            "units",
            "have not exactly one with the factor 1",
            "write factor = \"1\" in the unit of the sums",
        );
        return None;
    }
    Some(units)
}

fn read_unit(values: &Values<'_>, name: String) -> Option<NativeUnit> {
    let value = values.required(&format!("units.{name}"))?;
    let (ucum, factor) = (value.text("ucum"), value.decimal("factor"));
    let (ucum, factor) = (ucum?.to_owned(), factor?);
    if factor.digits() <= 0 {
        return value
            .contradicts("has a factor that is not above zero", "write how many of the first unit it is");
    }
    Some(NativeUnit { name, ucum, factor })
}

/// A component; where the units have faults of their own, its edges are asked for and not read.
fn read_component(values: &Values<'_>, name: String, units: Option<&[NativeUnit]>) -> Option<Component> {
    let loinc = values.required(&format!("components.{name}")).and_then(|value| value.text("loinc"));
    let known = units.is_some();
    let units = units.unwrap_or_default();
    let mut read = true;
    let mut scales =
        vec![[Scale::NONE_BELOW, Scale::NONE_BELOW, Scale::NONE_ABOVE, Scale::NONE_ABOVE]; units.len()];
    for (place, edge) in ["very_low", "low", "high", "very_high"].into_iter().enumerate() {
        // An edge of a lower range is named by what lies below it, one of an upper range by where that begins.
        let (included, beyond) = if place < 2 { ("below", None) } else { ("above", Some("from")) };
        for (suffix, belongs_beyond) in [(Some(included), false), (beyond, true)] {
            let Some(suffix) = suffix else { continue };
            let Some(value) = values.optional(&format!("thresholds.{name}.{edge}_{suffix}")) else {
                continue;
            };
            if !known {
                value.any_field();
            }
            for (unit, scale) in units.iter().zip(&mut scales) {
                match value.decimal(&unit.name).map(|bound| bound.scaled(BOUND_PLACES)) {
                    Some(bound) => scale[place] = if belongs_beyond { bound - 1 } else { bound },
                    None => read = false,
                }
            }
        }
    }
    if !known || !read {
        return None;
    }
    let loinc = loinc?.to_owned();
    let ascend = |edges: &[i128; 4]| edges.windows(2).all(|pair| pair[0] <= pair[1]) && edges[1] <= edges[2];
    let bounded = |edges: &[i128; 4]| edges[1] != Scale::NONE_BELOW || edges[2] != Scale::NONE_ABOVE;
    if !scales.iter().all(|edges| ascend(edges) && bounded(edges)) {
        let what = "has no edges of its target, or edges that do not ascend in every unit";
        values.fault(
            &format!("components.{name}"),
            what,
            format!("write [thresholds.{name}.low_below] and its like"),
        );
        return None;
    }
    Some(Component { name, loinc, scales: scales.into_iter().map(Scale::new).collect() })
}
