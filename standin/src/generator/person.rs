//! Names, addresses and numbers of people who do not exist.

use jiff::civil::Date;
use rand::RngExt;
use rand::rngs::StdRng;

/// A made-up person, with all that a real engine sends along although nobody downstream needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Medical record number, unique within one run.
    pub mrn: String,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
    /// Date of birth.
    pub birth_date: Date,
    /// `F` or `M` (HL7 table 0001).
    pub sex: char,
    /// House and street.
    pub street: String,
    /// Town.
    pub city: String,
    /// Postal code of no place (ZIP codes that begin with 000 are not assigned).
    pub postal_code: String,
    /// A number from the range kept for fiction (555-0100 to 555-0199).
    pub phone: String,
}

const FAMILIES: &[&str] = &[
    "Abernathy",
    "Brightwater",
    "Castellanos",
    "Dunmore",
    "Eklund",
    "Fairweather",
    "Grünwald",
    "Holloway",
    "Ivarsson",
    "Jarrow",
    "Kestrel",
    "Lindqvist",
    "Marchetti",
    "Núñez",
    "O'Hara",
    "Pemberton",
];
const WOMEN: &[&str] = &["Adaeze", "Beatriz", "Clara", "Devi", "Elif", "Freya", "Hana", "Zoë"];
const MEN: &[&str] = &["Amir", "Bruno", "Caspian", "Dmitri", "Emeka", "Finn", "Hugo", "Tomás"];
const STREETS: &[&str] = &["Alder", "Birchwood", "Cinder", "Dovecote", "Elmstone", "Foxglove"];
const CITIES: &[&str] = &["Northfield", "Eastmere", "Southgate", "Westbrook"];

impl Person {
    pub(super) fn made_up(rng: &mut StdRng, index: u32) -> Self {
        let mut pick = |from: &[&'static str]| from[rng.random_range(0..from.len())];
        let family = pick(FAMILIES).to_owned();
        let sex = if pick(&["F", "M"]) == "F" { 'F' } else { 'M' };
        let given = pick(if sex == 'F' { WOMEN } else { MEN }).to_owned();
        let (street, city) = (pick(STREETS), pick(CITIES).to_owned());
        let (year, month, day) =
            (rng.random_range(1948..2012), rng.random_range(1..=12), rng.random_range(1..=28));
        Self {
            mrn: format!("{:07}", 4_100_000 + index),
            family,
            given,
            birth_date: Date::constant(year, month, day),
            sex,
            street: format!("{} {street} Road", rng.random_range(1..400)),
            city,
            postal_code: format!("000{:02}", rng.random_range(1..99)),
            phone: format!("(201)555-01{:02}", rng.random_range(0..100)),
        }
    }
}
