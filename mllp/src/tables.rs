//! The HL7 tables that a receiver looks MSH-9 and MSH-12 up in before it takes a message.
//!
//! Invariant: these are closed lists of the standard; what a single source sends beside them is configuration.
//! Comparison is exact: HL7 codes are upper case.
//!
//! Numbers: every message type of v2.1 to v2.9, withdrawn ones too, because what was valid when a sender was built
//! still is for it.

/// Message types (table 0076), sorted.
const MESSAGE_TYPES: [&[u8; 3]; 164] = [
    b"ACK", b"ADR", b"ADT", b"ARD", b"BAR", b"BPS", b"BRP", b"BRT", b"BTS", b"CCF", b"CCI", b"CCM", b"CCQ",
    b"CCR", b"CCU", b"CNQ", b"CQU", b"CRM", b"CSU", b"DBC", b"DBU", b"DEL", b"DEO", b"DER", b"DFT", b"DOC",
    b"DPR", b"DRC", b"DRG", b"DSR", b"EAC", b"EAN", b"EAR", b"EDR", b"EHC", b"EQQ", b"ERP", b"ESR", b"ESU",
    b"INR", b"INU", b"LSR", b"LSU", b"MCF", b"MDM", b"MFD", b"MFK", b"MFN", b"MFQ", b"MFR", b"NMD", b"NMQ",
    b"NMR", b"OMB", b"OMD", b"OMG", b"OMI", b"OML", b"OMN", b"OMP", b"OMQ", b"OMS", b"OPL", b"OPR", b"OPU",
    b"ORA", b"ORB", b"ORD", b"ORF", b"ORG", b"ORI", b"ORL", b"ORM", b"ORN", b"ORP", b"ORR", b"ORS", b"ORU",
    b"ORX", b"OSM", b"OSQ", b"OSR", b"OSU", b"OUL", b"PEX", b"PGL", b"PGR", b"PIN", b"PMU", b"PPG", b"PPP",
    b"PPR", b"PPT", b"PPV", b"PRR", b"PTR", b"QBP", b"QCK", b"QCN", b"QRF", b"QRY", b"QSB", b"QSX", b"QVR",
    b"RAR", b"RAS", b"RCI", b"RCL", b"RDE", b"RDO", b"RDR", b"RDS", b"RDY", b"REF", b"RER", b"RGR", b"RGV",
    b"ROR", b"RPA", b"RPI", b"RPL", b"RPR", b"RQA", b"RQC", b"RQI", b"RQP", b"RQQ", b"RRA", b"RRD", b"RRE",
    b"RRG", b"RRI", b"RRO", b"RSP", b"RTB", b"RTR", b"SCN", b"SDN", b"SDR", b"SIU", b"SLN", b"SLR", b"SMD",
    b"SPQ", b"SQM", b"SQR", b"SRM", b"SRR", b"SSR", b"SSU", b"STC", b"STI", b"SUR", b"TBR", b"TCR", b"TCU",
    b"UDF", b"UDM", b"VQQ", b"VTQ", b"VXQ", b"VXR", b"VXU", b"VXX",
];

/// Versions (table 0104): VID.1 of MSH-12.
const VERSIONS: [&[u8]; 15] = [
    b"2.0", b"2.1", b"2.2", b"2.3", b"2.3.1", b"2.4", b"2.5", b"2.5.1", b"2.6", b"2.7", b"2.7.1", b"2.8",
    b"2.8.1", b"2.8.2", b"2.9",
];

/// Trigger events of unsolicited results (table 0003): R01; R03 of v2.2 and v2.3; point of care since v2.4;
/// alerts and what devices report since v2.7.
const RESULT_EVENTS: [&[u8; 3]; 9] = [b"R01", b"R03", b"R30", b"R31", b"R32", b"R40", b"R41", b"R42", b"R43"];

/// The last trigger event of patient administration (table 0003): A01 to A62 without a gap that matters.
const LAST_ADMINISTRATION_EVENT: u8 = 62;

/// Whether MSH-9.1 is a message type of table 0076, or one that two parties agreed on (`Z..`, v2.9 section 2.11).
pub fn is_message_type(code: &[u8]) -> bool {
    code == b"ORU" || is_local(code) || MESSAGE_TYPES.binary_search_by(|known| known[..].cmp(code)).is_ok()
}

/// Whether MSH-9.2 is an event that table 0003 knows of ORU or ADT. An absent one is (v2.1 has none, and ADT has EVN-1
/// beside it), and so is a local one (`Z..`). Of other types any event is.
pub fn is_event(code: &[u8], trigger: &[u8]) -> bool {
    let trigger = trigger.trim_ascii();
    if matches!(trigger, b"" | b"\"\"") || is_local(trigger) {
        return true;
    }
    match code {
        b"ORU" => RESULT_EVENTS.iter().any(|known| &known[..] == trigger),
        b"ADT" => administration_event(trigger).is_some_and(|n| (1..=LAST_ADMINISTRATION_EVENT).contains(&n)),
        _ => true,
    }
}

/// Whether MSH-12.1 is a version of table 0104.
pub fn is_version(version: &[u8]) -> bool {
    VERSIONS.contains(&version.trim_ascii())
}

/// The number in `A01`.
fn administration_event(trigger: &[u8]) -> Option<u8> {
    match trigger {
        [b'A', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

/// Three characters of which the first is Z.
fn is_local(code: &[u8]) -> bool {
    code.len() == 3 && code[0] == b'Z' && code.iter().all(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_name_nothing_twice() {
        assert!(MESSAGE_TYPES.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(VERSIONS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn types_of_the_table_and_local_ones_are_known_and_no_others() {
        for code in ["ACK", "ORU", "ADT", "ORM", "OML", "SIU", "MDM", "VXU", "ZCG", "Z01"] {
            assert!(is_message_type(code.as_bytes()), "{code}");
        }
        for code in ["", "oru", "ORUX", "OR", "ABC", "Z", "ZZZZ", "Z 1", "ORU ", "MSH"] {
            assert!(!is_message_type(code.as_bytes()), "{code}");
        }
    }

    #[test]
    fn events_are_looked_up_for_results_and_administration_only() {
        for (code, trigger, known) in [
            ("ORU", "R01", true),
            ("ORU", "R32", true),
            ("ORU", "", true),
            ("ORU", "ZX1", true),
            ("ORU", "R99", false),
            ("ORU", "A01", false),
            ("ORU", "r01", false),
            ("ADT", "A01", true),
            ("ADT", "A08", true),
            ("ADT", "A62", true),
            ("ADT", "A63", false),
            ("ADT", "A00", false),
            ("ADT", "A1", false),
            ("ADT", "R01", false),
            ("ADT", "", true),
            ("SIU", "whatever", true),
        ] {
            assert_eq!(is_event(code.as_bytes(), trigger.as_bytes()), known, "{code}^{trigger}");
        }
    }

    #[test]
    fn versions_are_those_published() {
        for version in ["2.0", "2.1", "2.3.1", "2.5.1", "2.8.2", "2.9", " 2.5 "] {
            assert!(is_version(version.as_bytes()), "{version}");
        }
        for version in ["", "2", "2.10", "2.5.2", "3.0", "V2.5", "2.5.1.0"] {
            assert!(!is_version(version.as_bytes()), "{version}");
        }
    }
}
