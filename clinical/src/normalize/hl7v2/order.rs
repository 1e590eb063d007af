//! Orders (ORM, OML; HL7 chapter 4): which identifiers an order gives one person.
//!
//! Invariants: only PID is read, and of it identifiers and the birth date; a vendor's id stands in PID-3, or in the
//! older PID-2 and PID-4; a message with several patients binds nothing.

use super::{pid, segment::segments};
use crate::{
    birth_date::BirthDate,
    identity::{Identifier, IdentityFault, PatientKey, PatientRule},
};

/// The patient of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The place of its PID among the message's segments, from 1.
    pub pid: u32,
    /// The identifier that names the patient at this site.
    pub patient: PatientKey,
    /// The identifiers beside it.
    pub others: Vec<Identifier>,
    /// PID-7, where it is a date.
    pub birth_date: Option<BirthDate>,
}

/// Reads whom an order is for. Errs where no identifier, or several different ones, match the rule, and with
/// [`IdentityFault::Ambiguous`] where there are several PID; with [`IdentityFault::SecondHeader`] where another message
/// stands inside, and with [`IdentityFault::TooMany`].
pub fn order(message: &str, rule: &PatientRule) -> Result<Ordered, IdentityFault> {
    if segments(message).into_iter().flatten().skip(1).any(|segment| segment.name == "MSH") {
        return Err(IdentityFault::SecondHeader);
    }
    let mut pids = segments(message).into_iter().flatten().filter(|segment| segment.name == "PID");
    let pid = pids.next().ok_or(IdentityFault::NoPid)?;
    if pids.next().is_some() {
        return Err(IdentityFault::Ambiguous);
    }
    let identifiers = pid::identifiers([pid.field(3), pid.field(2), pid.field(4)])?;
    let patient = pid::select(&identifiers, rule)?;
    let (others, birth_date) = (pid::others(&identifiers, rule), pid::birth_date(&pid));
    Ok(Ordered { pid: pid.ordinal, patient, others, birth_date })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pids: &str) -> Result<(String, Vec<String>), IdentityFault> {
        let rule = PatientRule { authority: Some("NORTH".into()), ..PatientRule::default() };
        order(&format!("MSH|^~\\&|A\r{pids}\rORC|NW\r"), &rule).map(|ordered| {
            let others = ordered.others.iter().map(|it| format!("{}:{}:{}", it.authority, it.kind, it.value));
            (ordered.patient.value, others.collect())
        })
    }

    #[test]
    fn every_identifier_of_an_order_is_read_wherever_it_stands() {
        let other = |text: &str| vec![text.to_owned()];
        for (pid, wanted) in [
            ("PID|1||1^^^NORTH^MR~V9^^^DEXCOM^PI", Ok(("1".to_owned(), other("DEXCOM:PI:V9")))),
            ("PID|1|V9^^^DEXCOM|1^^^NORTH^MR", Ok(("1".to_owned(), other("DEXCOM::V9")))),
            ("PID|1||1^^^NORTH^MR|V9^^^DEXCOM^PI", Ok(("1".to_owned(), other("DEXCOM:PI:V9")))),
            ("PID|1||1^^^NORTH^MR|V9", Ok(("1".to_owned(), other("::V9")))),
            ("PID|1|1^^^NORTH^MR|1^^^NORTH^MR", Ok(("1".to_owned(), vec![]))),
            ("PID|1||V9^^^DEXCOM^PI", Err(IdentityFault::NoMatch)),
            ("PID|1|2^^^NORTH^MR|1^^^NORTH^MR", Err(IdentityFault::Ambiguous)),
            ("PID|1||1^^^NORTH^MR\rPID|2||2^^^NORTH^MR", Err(IdentityFault::Ambiguous)),
            ("NTE|1", Err(IdentityFault::NoPid)),
            ("PID|1||1^^^NORTH^MR\r MSH|^~\\&|B\rNTE|1", Err(IdentityFault::SecondHeader)),
            ("PID|1||1^^^NORTH^MR\rMSH$^~\\&$B", Err(IdentityFault::SecondHeader)),
            (&format!("PID|1||1^^^NORTH^MR{}", "~V^^^DEXCOM^PI".repeat(64)), Err(IdentityFault::TooMany)),
            (
                &format!("PID|1||1^^^NORTH^MR{}", "~V^^^DEXCOM^PI".repeat(63)),
                Ok(("1".to_owned(), other("DEXCOM:PI:V"))),
            ),
        ] {
            assert_eq!(read(pid), wanted, "{pid}");
        }
    }
}
