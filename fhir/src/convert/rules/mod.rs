//! What is cut differently in the two releases, one rule for each: they see an object before the general way does, take what
//! they can say exactly, and leave the rest to be kept.
//!
//! | group | rule |
//! |---|---|
//! | ServiceRequest, Task | `reasons`: reasonCode and reasonReference are one `reason` in R5, locationCode and locationReference one `location` |
//! | ServiceRequest | `reasons`: patientInstruction is a text in R4, texts or documents in R5 |
//! | Consent | `consent`: a base rule and its exceptions; one policy; class is documentType and resourceType |
//! | DocumentReference | `document`: `context` is flat in R5; masterIdentifier is an identifier; authenticator an attester; format a profile |
//! | AuditEvent | `audit`: type and subtype are category and code; outcome has details; network is a choice |
//! | Group, SampledData, Meta | `single`: actual is membership; period is interval and its unit; profiles of the CGM guide are of R4 |

mod audit;
mod consent;
mod document;
mod reasons;
mod single;

use super::{Conversion, Making};

/// Applies the rules of an object's group.
pub(super) fn apply(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    match making.source.name.as_str() {
        "ServiceRequest" => reasons::service_request(conversion, making, depth),
        "Task" => reasons::task(conversion, making, depth),
        "Consent" => consent::consent(conversion, making, depth),
        "Consent.provision" => consent::class(conversion, making),
        "DocumentReference" => document::document(conversion, making, depth),
        "DocumentReference.content" => document::content(conversion, making, depth),
        "AuditEvent" => audit::event(conversion, making, depth),
        "AuditEvent.agent" => audit::network(conversion, making),
        "Group" => single::membership(conversion, making),
        "SampledData" => single::interval(conversion, making),
        "Meta" => single::profiles(conversion, making),
        _ => {}
    }
}
