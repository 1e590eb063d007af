//! The guide's Observations, whole or as a plain server or the upstream platform takes them.

use serde_json::{Value, json};

use super::{Made, ProjectionError, Search, Version, status, time};
use crate::fhir::{
    figures::figures,
    form::{Dates, Form, TimeForm},
    projection::{Kind, Projection, Style},
    summary::{Resource, Summary, Wording, observations as canonical},
};

/// The Observations of a version. In a transaction the panel comes first, as in the guide; one by one it comes after
/// what it refers to.
pub(super) fn observations(
    projection: Projection,
    form: &Form,
    version: &Version<'_>,
) -> Result<Vec<Made>, ProjectionError> {
    let figures = if form.local_codes { figures(version.outcome) } else { Vec::new() };
    let mut made = canonical(&Summary {
        outcome: version.outcome,
        scope: version.scope(projection),
        secret: version.secret,
        subject: version.subject,
        status: status(form, version)?,
        mean: form.glucose,
        figures: &figures,
        wording: if form.notes { projection.wording() } else { Wording::Terse },
    });
    if projection.members_may_be_left_out() {
        plain(form, &mut made);
    }
    if projection.style() == Style::Single {
        // Its references to what is delivered before it can be resolved then.
        made.rotate_left(1);
    }
    let when = match (form.time, form.dates) {
        (_, Dates::Month) => Some(month(version)),
        (TimeForm::DateTime, _) => Some(time::end(version.outcome)?),
        (TimeForm::Period, _) => None,
    };
    let category = form.category.code();
    let packed = made.into_iter().map(|mut resource| {
        let coding = json!({ "system": form.category_system.uri(), "code": category });
        resource.json["category"] = json!([{ "coding": [coding] }]);
        if let (Some(when), Value::Object(fields)) = (&when, &mut resource.json) {
            fields.remove("effectivePeriod");
            fields.insert("effectiveDateTime".into(), when.as_str().into());
        }
        if form.dates == Dates::Month {
            undated(version, &mut resource.json);
        }
        let slug = resource.metric.map_or_else(|| own_code(&resource), |metric| metric.slug().to_owned());
        let reconcile = Search::Identifier(resource.identifier.token());
        Made { slug, kind: Kind::Observation, category, reconcile, resource }
    });
    Ok(packed.collect())
}

/// Without the claim to the guide's profiles, and without the members that the form leaves out.
fn plain(form: &Form, made: &mut Vec<Resource>) {
    let own = |resource: &Resource| resource.metric.is_none_or(|metric| form.has(metric));
    let gone: Vec<String> = made.iter().filter(|resource| !own(resource)).map(Resource::full_url).collect();
    made.retain(own);
    for resource in made {
        let Value::Object(fields) = &mut resource.json else { continue };
        fields.remove("meta");
        for name in ["hasMember", "derivedFrom"] {
            let Some(Value::Array(list)) = fields.get_mut(name) else { continue };
            list.retain(|one| !gone.iter().any(|url| one["reference"] == url.as_str()));
            if list.is_empty() {
                fields.remove(name);
            }
        }
    }
}

/// The month in which the window ends: a FHIR date may have no day.
fn month(version: &Version<'_>) -> String {
    version.outcome.period.last_date.chars().take("2026-03".len()).collect()
}

/// The length of the window, whose dates are not told; the guide's profiles demand a period.
fn undated(version: &Version<'_>, json: &mut Value) {
    if let Value::Object(fields) = json {
        fields.remove("meta");
    }
    let period = &version.outcome.period;
    json["method"] = json!({ "text": format!("policy {}, {} days", version.outcome.policy.id, period.days) });
}

/// The code of ours that names what the guide has no metric for.
fn own_code(resource: &Resource) -> String {
    resource.json["code"]["coding"][0]["code"].as_str().unwrap_or_default().to_owned()
}
