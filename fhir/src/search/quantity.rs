//! Quantities (search.html, "quantity"): a number with a prefix, and a unit that is compared as it is written.
//!
//! `eq`, `ne` and no prefix go by the implicit precision of the number asked for (`5.40` is 5.395 to below 5.405); the others
//! take it to be exact. A reading such as `<40` is a range: everything below.

use serde_json::Value;

use super::{
    date::Prefix,
    decimal::Decimal,
    escape::{split, unescape},
};

/// A quantity that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quantity {
    prefix: Prefix,
    number: Decimal,
    unit: Unit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Unit {
    Any,
    /// `number||code`: the code or the printed unit.
    Written(String),
    Coded {
        system: String,
        code: String,
    },
}

impl Quantity {
    /// Of a value as it was sent; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text, '|');
        let (number, unit) = match parts[..] {
            [number] | [number, "", ""] => (number, Unit::Any),
            [number, "", code] => (number, Unit::Written(unescape(code))),
            [number, system, code] if !code.is_empty() => {
                (number, Unit::Coded { system: unescape(system), code: unescape(code) })
            }
            _ => return None,
        };
        let (prefix, number) = Prefix::of(number);
        Some(Self { prefix, number: Decimal::parse(number)?, unit })
    }

    /// Whether a Quantity of a resource is as it is asked.
    pub(super) fn matches(&self, quantity: &Value) -> bool {
        let text = |name| quantity.get(name).and_then(Value::as_str);
        let unit = match &self.unit {
            Unit::Any => true,
            Unit::Written(unit) => text("code") == Some(unit) || text("unit") == Some(unit),
            Unit::Coded { system, code } => text("system") == Some(system) && text("code") == Some(code),
        };
        let Some(Value::Number(number)) = quantity.get("value") else { return false };
        let Some(value) = Decimal::parse(&number.to_string()).filter(|_| unit) else { return false };
        match text("comparator") {
            Some(comparator @ ("<" | "<=")) => self.admits_below(value, comparator == "<="),
            Some(comparator @ (">" | ">=")) => self.admits_above(value, comparator == ">="),
            _ => self.admits(value),
        }
    }

    fn admits(&self, value: Decimal) -> bool {
        let (low, high) = self.number.implied();
        match self.prefix {
            Prefix::Eq => low <= value && value < high,
            Prefix::Ne => value < low || high <= value,
            Prefix::Gt | Prefix::Sa => value > self.number,
            Prefix::Lt | Prefix::Eb => value < self.number,
            Prefix::Ge => value >= self.number,
            Prefix::Le => value <= self.number,
            Prefix::Ap => {
                let (low, high) = self.number.tenth();
                low <= value && value <= high
            }
        }
    }

    /// Of everything below `most`, or up to it.
    fn admits_below(&self, most: Decimal, inclusive: bool) -> bool {
        let reaches = |least: Decimal| most > least || (inclusive && most == least);
        match self.prefix {
            Prefix::Eq | Prefix::Sa => false,
            Prefix::Ne | Prefix::Lt | Prefix::Le => true,
            Prefix::Gt => most > self.number,
            Prefix::Ge => reaches(self.number),
            Prefix::Eb => most < self.number || (!inclusive && most == self.number),
            Prefix::Ap => reaches(self.number.tenth().0),
        }
    }

    /// Of everything above `least`, or from it on.
    fn admits_above(&self, least: Decimal, inclusive: bool) -> bool {
        let reaches = |most: Decimal| least < most || (inclusive && least == most);
        match self.prefix {
            Prefix::Eq | Prefix::Eb => false,
            Prefix::Ne | Prefix::Gt | Prefix::Ge => true,
            Prefix::Lt => least < self.number,
            Prefix::Le => reaches(self.number),
            Prefix::Sa => least > self.number || (!inclusive && least == self.number),
            Prefix::Ap => reaches(self.number.tenth().1),
        }
    }
}
