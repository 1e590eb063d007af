//! The names of segments and fields, from the standard (HL7 v2.5.1 chapters 2 to 7; SPM and ERR as of v2.5).
//!
//! Invariant: a name that is not in here is not printed as a segment's name, because a line without a known name
//! may be a torn piece of somebody's data.

/// Segments an engine may send, and what they are called.
const SEGMENTS: &[(&str, &str)] = &[
    ("ADD", "Addendum"),
    ("AIG", "Appointment Information, General Resource"),
    ("AIL", "Appointment Information, Location"),
    ("AIP", "Appointment Information, Personnel"),
    ("AIS", "Appointment Information, Service"),
    ("AL1", "Patient Allergy Information"),
    ("ARV", "Access Restriction"),
    ("BHS", "Batch Header"),
    ("BTS", "Batch Trailer"),
    ("CTI", "Clinical Trial Identification"),
    ("DB1", "Disability"),
    ("DG1", "Diagnosis"),
    ("DRG", "Diagnosis Related Group"),
    ("DSC", "Continuation Pointer"),
    ("ERR", "Error"),
    ("EVN", "Event Type"),
    ("FHS", "File Header"),
    ("FT1", "Financial Transaction"),
    ("FTS", "File Trailer"),
    ("GT1", "Guarantor"),
    ("IAM", "Patient Adverse Reaction Information"),
    ("IN1", "Insurance"),
    ("IN2", "Insurance, Additional Information"),
    ("IN3", "Insurance, Certification"),
    ("MRG", "Merge Patient Information"),
    ("MSA", "Message Acknowledgment"),
    ("MSH", "Message Header"),
    ("NK1", "Next of Kin"),
    ("NTE", "Notes and Comments"),
    ("OBR", "Observation Request"),
    ("OBX", "Observation/Result"),
    ("ORC", "Common Order"),
    ("PD1", "Patient Additional Demographic"),
    ("PID", "Patient Identification"),
    ("PR1", "Procedures"),
    ("PRT", "Participation Information"),
    ("PV1", "Patient Visit"),
    ("PV2", "Patient Visit, Additional Information"),
    ("QRD", "Query Definition"),
    ("ROL", "Role"),
    ("RXA", "Pharmacy Administration"),
    ("RXE", "Pharmacy Encoded Order"),
    ("RXO", "Pharmacy Order"),
    ("RXR", "Pharmacy Route"),
    ("SAC", "Specimen Container Detail"),
    ("SCH", "Scheduling Activity Information"),
    ("SFT", "Software"),
    ("SPM", "Specimen"),
    ("TQ1", "Timing/Quantity"),
    ("TXA", "Transcription Document Header"),
    ("UB2", "UB92 Data"),
];

/// Fields from 1, separated by `|`.
const FIELDS: &[(&str, &str)] = &[
    (
        "MSH",
        "Field Separator|Encoding Characters|Sending Application|Sending Facility|Receiving Application|\
         Receiving Facility|Date/Time of Message|Security|Message Type|Message Control ID|Processing ID|\
         Version ID|Sequence Number|Continuation Pointer|Accept Acknowledgment Type|\
         Application Acknowledgment Type|Country Code|Character Set|Principal Language of Message|\
         Alternate Character Set Handling Scheme|Message Profile Identifier",
    ),
    (
        "PID",
        "Set ID|Patient ID|Patient Identifier List|Alternate Patient ID|Patient Name|Mother's Maiden Name|\
         Date/Time of Birth|Administrative Sex|Patient Alias|Race|Patient Address|County Code|\
         Phone Number, Home|Phone Number, Business|Primary Language|Marital Status|Religion|\
         Patient Account Number|SSN Number|Driver's License Number|Mother's Identifier|Ethnic Group|\
         Birth Place|Multiple Birth Indicator|Birth Order|Citizenship|Veterans Military Status|Nationality|\
         Patient Death Date and Time|Patient Death Indicator|Identity Unknown Indicator|\
         Identity Reliability Code|Last Update Date/Time|Last Update Facility",
    ),
    (
        "PV1",
        "Set ID|Patient Class|Assigned Patient Location|Admission Type|Preadmit Number|Prior Patient Location|\
         Attending Doctor|Referring Doctor|Consulting Doctor|Hospital Service|Temporary Location|\
         Preadmit Test Indicator|Re-admission Indicator|Admit Source|Ambulatory Status|VIP Indicator|\
         Admitting Doctor|Patient Type|Visit Number",
    ),
    (
        "ORC",
        "Order Control|Placer Order Number|Filler Order Number|Placer Group Number|Order Status|Response Flag|\
         Quantity/Timing|Parent Order|Date/Time of Transaction|Entered By|Verified By|Ordering Provider|\
         Enterer's Location|Call Back Phone Number|Order Effective Date/Time|Order Control Code Reason",
    ),
    (
        "OBR",
        "Set ID|Placer Order Number|Filler Order Number|Universal Service Identifier|Priority|\
         Requested Date/Time|Observation Date/Time|Observation End Date/Time|Collection Volume|\
         Collector Identifier|Specimen Action Code|Danger Code|Relevant Clinical Information|\
         Specimen Received Date/Time|Specimen Source|Ordering Provider|Order Callback Phone Number|\
         Placer Field 1|Placer Field 2|Filler Field 1|Filler Field 2|Results Rpt/Status Chng Date/Time|\
         Charge to Practice|Diagnostic Serv Sect ID|Result Status",
    ),
    (
        "OBX",
        "Set ID|Value Type|Observation Identifier|Observation Sub-ID|Observation Value|Units|References Range|\
         Abnormal Flags|Probability|Nature of Abnormal Test|Observation Result Status|\
         Effective Date of Reference Range|User Defined Access Checks|Date/Time of the Observation|\
         Producer's ID|Responsible Observer|Observation Method|Equipment Instance Identifier|\
         Date/Time of the Analysis|Observation Site|Observation Instance Identifier|Mood Code|\
         Performing Organization Name",
    ),
    ("NTE", "Set ID|Source of Comment|Comment|Comment Type"),
    (
        "MRG",
        "Prior Patient Identifier List|Prior Alternate Patient ID|Prior Patient Account Number|\
         Prior Patient ID|Prior Visit Number|Prior Alternate Visit ID|Prior Patient Name",
    ),
    (
        "EVN",
        "Event Type Code|Recorded Date/Time|Date/Time Planned Event|Event Reason Code|Operator ID|\
         Event Occurred|Event Facility",
    ),
    (
        "MSA",
        "Acknowledgment Code|Message Control ID|Text Message|Expected Sequence Number|\
         Delayed Acknowledgment Type|Error Condition",
    ),
    (
        "ERR",
        "Error Code and Location|Error Location|HL7 Error Code|Severity|Application Error Code|\
         Application Error Parameter|Diagnostic Information|User Message",
    ),
    (
        "SPM",
        "Set ID|Specimen ID|Specimen Parent IDs|Specimen Type|Specimen Type Modifier|Specimen Additives|\
         Specimen Collection Method|Specimen Source Site|Specimen Source Site Modifier|\
         Specimen Collection Site|Specimen Role|Specimen Collection Amount|Grouped Specimen Count|\
         Specimen Description|Specimen Handling Code|Specimen Risk Code|Specimen Collection Date/Time|\
         Specimen Received Date/Time",
    ),
    ("FHS", HEADER),
    ("BHS", HEADER),
    ("FTS", "File Batch Count|File Trailer Comment"),
    ("BTS", "Batch Message Count|Batch Comment|Batch Totals"),
];

/// The fields of both headers of batches (sections 2.10.1 and 2.10.2 differ in their first word).
const HEADER: &str = "Field Separator|Encoding Characters|Sending Application|Sending Facility|\
    Receiving Application|Receiving Facility|Creation Date/Time|Security|Name/ID/Type|Comment|Control ID|\
    Reference Control ID";

/// What a segment is called; `None` where the standard's list has no such name.
pub fn segment(name: &str) -> Option<&'static str> {
    SEGMENTS.binary_search_by_key(&name, |(known, _)| known).ok().map(|place| SEGMENTS[place].1)
}

/// What a field is called, counted from 1; empty where it is not in the list.
pub fn field(segment: &str, number: usize) -> &'static str {
    let fields = FIELDS.iter().find(|(known, _)| *known == segment).map_or("", |(_, fields)| fields);
    number.checked_sub(1).and_then(|place| fields.split('|').nth(place)).unwrap_or("")
}

/// Whether a segment's first field is the field separator itself, so that its fields are counted from there.
pub fn is_header(segment: &[u8]) -> bool {
    matches!(segment, b"MSH" | b"FHS" | b"BHS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_so_that_every_name_is_found() {
        assert!(SEGMENTS.is_sorted_by_key(|(name, _)| name));
        for (name, title) in SEGMENTS {
            assert_eq!(segment(name), Some(*title));
        }
        assert_eq!(segment("ZPI"), None);
        assert_eq!(segment("pid"), None);
    }

    #[test]
    fn fields_are_counted_as_the_standard_counts_them() {
        for (name, number, title) in [
            ("MSH", 1, "Field Separator"),
            ("MSH", 9, "Message Type"),
            ("MSH", 18, "Character Set"),
            ("PID", 3, "Patient Identifier List"),
            ("PID", 7, "Date/Time of Birth"),
            ("PID", 30, "Patient Death Indicator"),
            ("PV1", 19, "Visit Number"),
            ("OBR", 7, "Observation Date/Time"),
            ("OBR", 25, "Result Status"),
            ("OBX", 3, "Observation Identifier"),
            ("OBX", 6, "Units"),
            ("OBX", 11, "Observation Result Status"),
            ("OBX", 14, "Date/Time of the Observation"),
            ("OBX", 18, "Equipment Instance Identifier"),
            ("SPM", 4, "Specimen Type"),
            ("ERR", 3, "HL7 Error Code"),
            ("BHS", 11, "Control ID"),
            ("OBX", 0, ""),
            ("OBX", 99, ""),
            ("ZPI", 1, ""),
        ] {
            assert_eq!(field(name, number), title, "{name}-{number}");
        }
    }
}
