//! What both vendors ask of a DocumentReference: one content, and data that is base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::refusal::Refusal;
use crate::search::list;

/// The one attachment, or why it is not one. `rule` and `status` are the persona's.
pub(super) fn only_attachment<'a>(
    resource: &'a Value,
    rule: &'static str,
    status: u16,
) -> Result<&'a Value, Refusal> {
    let refuse = |text: &str, at: &str| Err(Refusal::by(rule, status, "business-rule", text).at(at));
    let [content] = list(&resource["content"]) else {
        return refuse("a document has exactly one content", "DocumentReference.content");
    };
    let attachment = &content["attachment"];
    let data = attachment["data"].as_str().unwrap_or_default();
    if data.is_empty() || STANDARD.decode(data).is_err() {
        return refuse("an attachment carries base64", "DocumentReference.content.attachment.data");
    }
    Ok(attachment)
}

/// The media type without its parameters.
pub(super) fn media_type(attachment: &Value) -> &str {
    let told = attachment["contentType"].as_str().unwrap_or_default();
    told.split(';').next().unwrap_or_default().trim()
}
