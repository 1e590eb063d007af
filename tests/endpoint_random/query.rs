//! Searches, dates, numbers, tags and headers by chance.

use super::{
    dice::Dice,
    known::Known,
    request::{NAME, WORD},
    templates::SYSTEM,
};

/// Headers with values that are sound, or are not.
pub const HEADERS: [(&str, &[&str]); 14] = [
    (
        "Accept",
        &[
            "application/fhir+json",
            "application/fhir+json; fhirVersion=5.0",
            "application/fhir+json;fhirVersion=4.0",
            "application/fhir+json; fhirVersion=\"4.0\"",
            "*/*",
            "text/html, */*;q=0.1",
            "application/fhir+xml",
            "application/json;q=0",
            "application/fhir+json;q=NaN",
            ",,,;;q",
            "application/fhir+json; fhirVersion=9",
            "",
        ],
    ),
    (
        "Prefer",
        &[
            "return=minimal",
            "return=OperationOutcome",
            "return=representation",
            "handling=lenient",
            "handling=strict",
            "respond-async",
            "return=",
            "a;b=c,,",
            "return=\"x",
        ],
    ),
    ("If-Match", &["W/\"1\"", "\"1\"", "W/\"2\"", "*", "", "W/\"99999999999999999999\"", "W/\"-1\"", "1"]),
    ("If-None-Match", &["W/\"1\"", "*", "\"1\", W/\"2\"", "W/\"x\"", ""]),
    (
        "If-None-Exist",
        &[
            "identifier=a",
            "",
            "?",
            "_id=1",
            "status=final",
            "_count=1",
            "a=%",
            "identifier=urn:example:random%7Cx&code=y",
        ],
    ),
    ("If-Modified-Since", &["Sun, 01 Mar 2026 00:00:00 GMT", "yesterday", ""]),
    ("X-Request-Id", &["a.b-c_d", "a b", "", "\u{7f}", "4bf92f3577b34da6a3ce929d0e0e4736"]),
    ("X-Isthmus-Reason", &["the patient is unconscious", "short"]),
    ("Content-Encoding", &["identity", "gzip", "br, gzip"]),
    ("Accept-Encoding", &["gzip, br", "*"]),
    ("Range", &["bytes=0-1", "bytes=9-1"]),
    ("Host", &["box:8443", "evil.example/\"><", "", "[::1]:8443"]),
    ("X-HTTP-Method-Override", &["DELETE"]),
    ("Expect", &["100-continue", "nothing"]),
];

/// A number, or none.
pub fn number(dice: &mut Dice) -> String {
    match dice.below(12) {
        0 => "0".to_owned(),
        1 => "-1".to_owned(),
        2 => "99999999999999999999999".to_owned(),
        3 => "1.5".to_owned(),
        4 => "4294967296".to_owned(),
        5 => "9223372036854775807".to_owned(),
        6 => WORD.to_owned(),
        7 => String::new(),
        _ => (dice.below(60) + 1).to_string(),
    }
}

/// A date, or none.
pub fn date(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => dice
            .one(&[
                "2026-02-30",
                "0000-00-00",
                "9999-12-31T23:59:60Z",
                "2026-13",
                "20260301",
                "-0001-01-01",
                "2026-03-01T25:00",
                "2026-03-01T10:00:00+99:00",
                "2026-03-01T10:00:00.123456789012345678901234567890Z",
                "1e9",
                WORD,
                "",
            ])
            .to_owned(),
        1 => dice
            .one(&[
                "2026",
                "2026-03",
                "2026-03-01T10:00",
                "2026-03-01T10:00:00%2B01:00",
                "1970-01-01T00:00:00Z",
            ])
            .to_owned(),
        _ => format!("2026-03-{:02}", dice.below(31) + 1),
    }
}

/// An entity tag, or none.
pub fn tag(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => format!("W/\"{}\"", dice.below(4)),
        1 => number(dice),
        _ => "W/\"1\"".to_owned(),
    }
}

/// A value of a type of search parameter.
fn value(of: &str, known: &Known, dice: &mut Dice) -> String {
    if dice.once_in(24) {
        let mad = [
            "%",
            "%zz",
            "%ff",
            "%00",
            "%c0%af",
            "%ed%a0%80",
            "\\",
            "\\,\\|\\$",
            ",,,",
            "|||",
            "$",
            "%F0%9F%98%80",
            "%E2%80%AE",
            "'--",
            "%25s%25n",
        ];
        return dice.one(&mad).to_owned();
    }
    if dice.once_in(40) {
        return format!("{WORD},").repeat(dice.below(400) + 1);
    }
    match of {
        "date" => {
            let prefix =
                dice.one(&["", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "xx", "GE"]);
            format!("{prefix}{}", date(dice))
        }
        "quantity" => {
            let prefix = dice.one(&["", "gt", "lt", "ge", "le", "ne", "ap", "sa", "eb"]);
            let unit = dice.one(&["", "||mg/dL", "|http://unitsofmeasure.org|mg/dL", "|", "||||"]);
            format!(
                "{prefix}{}{unit}",
                dice.one(&["101.5", "1e2", "1e999999999", "-0", "NaN", "1.10", "", "1e-400"])
            )
        }
        "reference" => match dice.below(4) {
            0 => known.reference(None, dice).unwrap_or_default(),
            1 => dice
                .one(&[
                    "Patient/none",
                    "none",
                    "/",
                    "Patient/",
                    "https://localhost/fhir/Patient/1-00000001",
                    WORD,
                ])
                .to_owned(),
            _ => known.reference(Some("Patient"), dice).unwrap_or_default(),
        },
        "token" => dice
            .one(&[
                "final",
                "99504-3",
                "http://loinc.org%7C99504-3",
                "%7C99504-3",
                "http://loinc.org%7C",
                "%7C",
                "true",
                WORD,
                "active,draft",
                "permit",
            ])
            .to_owned(),
        _ => dice.one(&[WORD, "wobb", "Ada", SYSTEM, "a%20b", "%C3%A9", ""]).to_owned(),
    }
}

/// What stands behind the question mark.
pub fn query(kind: &str, known: &Known, dice: &mut Dice) -> String {
    let parameters = known.parameters(kind);
    let mut parts = Vec::new();
    for _ in 0..dice.below(4) {
        let part = match dice.below(22) {
            0 => format!("_count={}", number(dice)),
            1 => format!(
                "_sort={}",
                dice.one(&["_lastUpdated", "-_lastUpdated", "date", "-date", "--date", "a,b,c", WORD, ""])
            ),
            2 => format!("_summary={}", dice.one(&["count", "true", "text", "data", "false", WORD])),
            3 => format!("_total={}", dice.one(&["accurate", "estimate", "none", WORD])),
            4 => {
                let all = known.includes(kind);
                let include = dice.any(&all).cloned().unwrap_or_else(|| "Provenance:target".to_owned());
                let name = dice.one(&["_include", "_revinclude", "_include:iterate"]);
                format!("{name}={}", if dice.once_in(4) { "*".to_owned() } else { include })
            }
            5 => format!("{NAME}={WORD}"),
            6 => format!(
                "{}={}",
                dice.one(&[
                    "_elements",
                    "_has:Observation:patient:code",
                    "_filter",
                    "_query",
                    "_text",
                    "_contained",
                    "_cursor",
                    "_format",
                    "_pretty"
                ]),
                dice.one(&["id", "status", "json", "99504-3", "true", "AAAA", WORD])
            ),
            7 => format!(
                "_id={}",
                known
                    .reference(Some(kind), dice)
                    .unwrap_or_default()
                    .split('/')
                    .next_back()
                    .unwrap_or_default()
            ),
            _ => match dice.any(&parameters) {
                Some((name, of)) => {
                    let modifier = match dice.below(8) {
                        0 => dice.one(&[
                            ":missing",
                            ":not",
                            ":text",
                            ":exact",
                            ":contains",
                            ":identifier",
                            ":Patient",
                            ":in",
                            ":",
                            ":above",
                            ".name",
                            ":Patient.name",
                        ]),
                        _ => "",
                    };
                    let value = if modifier == ":missing" {
                        dice.one(&["true", "false", "x"]).to_owned()
                    } else {
                        value(of, known, dice)
                    };
                    format!("{name}{modifier}={value}")
                }
                None => "=".to_owned(),
            },
        };
        parts.push(part);
    }
    parts.join("&")
}
