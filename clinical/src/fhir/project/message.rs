//! A version as one ORU^R01 of HL7 v2.5.1 ([`crate::oru`]).
//!
//! The bytes are the same each time they are made, MSH-7 and MSH-10 included, so that one that is sent again is known for
//! what it is. OBR-3 is the same for every version: a later one corrects the one that stands.

use super::{Body, Item, ProjectionError, Search, Version};
use crate::{
    fhir::{
        figures::figures,
        form::Form,
        identifier::short,
        projection::{Kind, Projection},
        subject::Subject,
        summary::{Status, Summary, Wording, observations},
    },
    oru::{self, CONTROL_ID_MOST, Envelope, Order, Person},
};

/// The name of the message in its identifier; no slug of a metric or a row.
const SLUG: &str = "message";
/// What receivers of v2.3 to 2.4 keep of an order's number.
const FILLER_CHARS: usize = 22;

/// The message of a version.
pub(super) fn message(form: &Form, version: &Version<'_>) -> Result<Item, ProjectionError> {
    let Subject::Identifier(key) = version.subject else { return Err(ProjectionError::Subject) };
    let scope = version.scope(Projection::OruR01);
    let identifier = scope.named(version.secret, SLUG);
    let figures = if form.local_codes { figures(version.outcome) } else { Vec::new() };
    let all = observations(&Summary {
        outcome: version.outcome,
        scope,
        secret: version.secret,
        subject: version.subject,
        status: Status::of(version.reason()),
        mean: form.glucose,
        figures: &figures,
        wording: if form.notes { Wording::Full } else { Wording::Terse },
    });
    let control_id = short(version.secret, &identifier, Some(version.version), CONTROL_ID_MOST);
    let filler = short(version.secret, &identifier, None, FILLER_CHARS);
    let postal = &form.postal;
    let envelope = Envelope {
        from: (&postal.from.0, &postal.from.1),
        to: (&postal.to.0, &postal.to.1),
        sent: version.recorded,
        control_id: &control_id,
        processing: postal.processing,
    };
    let person = Person { value: &key.value, authority: &postal.authority, kind: &postal.kind };
    let order = Order {
        placer: None,
        filler: &filler,
        reported: version.recorded,
        corrected: version.supersedes.is_some(),
    };
    let bytes = oru::summary(&envelope, &person, &order, &all, None)?.into_bytes();
    oru::sealed(postal, &bytes)?;
    Ok(Item {
        kind: Kind::Message,
        category: None,
        slug: SLUG.to_owned(),
        identifier,
        if_none_exist: None,
        reconcile: Search::Nothing,
        needs: Vec::new(),
        body: Body::Message { bytes, control_id },
    })
}
