//! What would become at a site of the outcomes that a message has a part in: what its filter says, and the broker.

use std::{fmt::Write, path::Path};

use clinical::normalize::{clock, hl7v2};
use serde_json::{Value, json};

use crate::{
    broker::{self, Consent, Decision, Offer, Priority, Question, Stands, Timeliness},
    config::{Config, Site, Way},
    destination,
    filter::{self, About},
    mode::{Ceiling, Mode, Observed},
    pipeline::fallback::is_halted,
    report::paper::printable,
};

/// The largest message that is read: as a listener's, as shipped.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Why a message cannot be explained.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExplainError {
    #[error("{path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{0}: no HL7 v2 message: it begins with no MSH")]
    NoMessage(String),
    #[error("no listener and no spool is called {0:?}")]
    NoFeed(String),
    #[error("the zone of the site is not in the bundled data")]
    Zone,
    #[error("site {0} has no [ehr]: its outcomes are computed and kept")]
    NoEhr(String),
}

/// What would become of the message, by what `status` says is in force.
pub(super) fn told(
    config: &Config,
    site: &Site,
    path: &Path,
    feed: Option<&str>,
    status: &Value,
) -> Result<Value, ExplainError> {
    let shown = path.display().to_string();
    let read = |source| ExplainError::Read { path: shown.clone(), source };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > MOST_BYTES {
        return Err(read(std::io::Error::other("the file is larger than a message may be")));
    }
    let bytes = std::fs::read(path).map_err(read)?;
    let body = bytes.trim_ascii_start();
    if !body.starts_with(b"MSH") {
        return Err(ExplainError::NoMessage(shown.clone()));
    }
    let feeds =
        config.main.mllp.iter().map(|one| &one.name).chain(config.main.spools.iter().map(|one| &one.name));
    let feeds: Vec<&String> = feeds.collect();
    let feed = match feed {
        Some(name) if !feeds.iter().any(|known| *known == name) => {
            return Err(ExplainError::NoFeed(name.to_owned()));
        }
        Some(name) => name.to_owned(),
        None => feeds.first().map(|name| (*name).clone()).unwrap_or_default(),
    };
    let ehr = site.ehr.as_ref().ok_or_else(|| ExplainError::NoEhr(site.id.clone()))?;
    let origin = filter::origin(&feed, body);
    let zone =
        clock::Zone::named(site.timezone.iana_name().unwrap_or("UTC")).map_err(|_| ExplainError::Zone)?;
    let context = hl7v2::Context {
        zone: &zone,
        trust_msh7_offset: false,
        patient: &site.patient,
        sender_codes: &[],
        message_id: 0,
    };
    // Files of messages have lines where messages have segments.
    let text = String::from_utf8_lossy(body).replace("\r\n", "\r").replace('\n', "\r");
    let groups = hl7v2::normalize(&text, &context).groups;
    let patients = groups.iter().map(|group| {
        let named = group.patient.as_ref().map(|key| format!("{}|{}", key.system, key.value));
        let windows: Vec<Value> = site
            .publish
            .iter()
            .map(|rule| {
                let about = About {
                    population: &site.policy,
                    patient: named.as_deref().unwrap_or_default(),
                    window_days: rule.window_days,
                    origins: [origin.clone()].into(),
                };
                window(site, ehr, &about, status)
            })
            .collect();
        json!({
            "readings": group.readings.len(),
            "unreadable": group.faults.len(),
            // Who it is stays in the message.
            "patient": group.patient.as_ref().map_or_else(|fault| fault.to_string(), |key| key.system.clone()),
            "identified": group.patient.is_ok(),
            "windows": windows,
        })
    });
    Ok(json!({
        "site": site.id,
        "feed": origin.feed,
        "application": origin.application,
        "facility": origin.facility,
        "patients": patients.collect::<Vec<_>>(),
        "observed": !status.is_null(),
    }))
}

/// What the filter and the broker say of a window that nothing stands of.
fn window(site: &Site, ehr: &crate::config::Ehr, about: &About<'_>, status: &Value) -> Value {
    let refused = filter::refusal(&site.filter, about);
    let ceiling = destination::ceiling(&site.capability);
    let fits = |days: Option<u32>| days.is_none_or(|days| days == u32::from(about.window_days));
    let ways: Vec<_> = ehr.ways.iter().filter(|way| fits(way.form.days)).collect();
    let offers: Vec<Offer> = ways
        .iter()
        .map(|way| Offer {
            capability: way.carrier(),
            observed: observed(status, &site.id, way),
            amends: way.amends(),
            untried: false,
        })
        .collect();
    let decision = broker::decide(&Question {
        ceiling: &ceiling,
        offers: &offers,
        consent: Consent::Permit,
        taken: refused.is_none(),
        timeliness: Timeliness::Current,
        priority: Priority::Routine,
        bulk: site.capability.bulk,
        stands: Stands::No,
    });
    let (word, reason) = decision.words();
    let form = decision.offer().and_then(|at| ways.get(at)).map(|way| way.projection.name());
    json!({
        "window_days": about.window_days,
        "decision": word,
        "reason": reason,
        "form": form,
        "filter": refused.map(|refused| format!("filter.{}.{}", refused.table, refused.list)),
        "shadow": ceiling == Ceiling::Shadow || site.capability.mode == Mode::Shadow,
        "written": matches!(decision, Decision::Write(_) | Decision::Fallback(..)),
    })
}

/// What the daemon has observed of a form; open where nothing is known.
fn observed(status: &Value, site: &str, way: &Way) -> Observed {
    let outbounds = status["outbound"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stands_still = |receiver: &str| {
        outbounds.iter().any(|one| one["destination"] == receiver && !one["halted"].is_null())
    };
    if is_halted(way, stands_still) {
        return Observed::ReadOnly;
    }
    let capability = way.carrier();
    let sites = status["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_site = sites.iter().find(|one| one["id"] == site);
    let all = of_site.and_then(|site| site["capabilities"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let seen = all.iter().find(|one| one["capability"] == capability.name());
    let word = seen.and_then(|one| one["observed"].as_str()).unwrap_or("open");
    let all = [Observed::Open, Observed::ReadOnly, Observed::Probing, Observed::Held];
    all.into_iter().find(|one| one.word() == word).unwrap_or(Observed::Open)
}

/// The explanation in plain words.
pub(super) fn for_people(told: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    // Writing to a String cannot fail.
    let mut out = String::new();
    let _ = writeln!(
        out,
        "message from {} at {}, through {}, at site {}",
        text(&told["application"]),
        text(&told["facility"]),
        text(&told["feed"]),
        text(&told["site"])
    );
    for patient in told["patients"].as_array().into_iter().flatten() {
        let _ = match patient["identified"] == true {
            true => writeln!(
                out,
                "patient named by {}: {} readings",
                text(&patient["patient"]),
                patient["readings"]
            ),
            false => writeln!(out, "no patient: {}; it waits for a person", text(&patient["patient"])),
        };
        if patient["unreadable"] != 0 {
            let _ = writeln!(
                out,
                "  {} parts cannot be read; isthmus quarantine shows such",
                patient["unreadable"]
            );
        }
        for window in patient["windows"].as_array().into_iter().flatten() {
            let (form, reason) = (text(&window["form"]), text(&window["reason"]));
            let days = &window["window_days"];
            let _ = match (window["decision"].as_str().unwrap_or_default(), window["filter"].as_str()) {
                ("write", _) => writeln!(out, "  window of {days} days: written as {form}"),
                ("fallback", _) => {
                    writeln!(
                        out,
                        "  window of {days} days: written as {form}, because the preferred form is {reason}"
                    )
                }
                ("defer", _) => {
                    writeln!(out, "  window of {days} days: waits to be written as {form}: {reason}")
                }
                ("show", _) => {
                    writeln!(out, "  window of {days} days: shown as {form}, never written (shadow)")
                }
                (_, Some(list)) => {
                    writeln!(out, "  window of {days} days: not taken, by {}", printable(list))
                }
                _ => writeln!(out, "  window of {days} days: not written: {reason}"),
            };
        }
    }
    if told["observed"] != true {
        out += "(no daemon answers: as if the EHR refused nothing)\n";
    }
    out
}
