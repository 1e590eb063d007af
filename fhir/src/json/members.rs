//! A resource as it was received: its members one by one, and what the server adds.

use std::{borrow::Cow, fmt, io::Write as _};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of one object, in order, each with the bytes of its value.
#[derive(Debug)]
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Why a resource cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// The bytes are no JSON object, or its `meta` is none.
    #[error("the resource is not a JSON object")]
    NotAnObject,
    /// There is no `resourceType`.
    #[error("the resource has no resourceType")]
    NoType,
}

impl<'a> Members<'a> {
    /// Of an object; of members of one name, which [`parse`](super::parse) refuses, all are kept.
    ///
    /// # Errors
    ///
    /// [`NotServed::NotAnObject`].
    pub fn of(bytes: &'a [u8]) -> Result<Self, NotServed> {
        serde_json::from_slice(bytes).map_err(|_error| NotServed::NotAnObject)
    }

    /// Name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    members.push((name.0, map.next_value::<&'de RawValue>()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A name that borrows where it has no escape, which serde's own `Cow` never does.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A resource as it was received, with the server's `id`, `meta.versionId` and `meta.lastUpdated` in place of its own.
///
/// `resourceType`, `id` and `meta` come first, the two members first in `meta`; all else is byte for byte and in the
/// order in which it came, without the blanks between the members. `last_updated` is an `instant`.
///
/// # Errors
///
/// What was received is no resource.
pub fn served(bytes: &[u8], id: &str, version: i64, last_updated: &str) -> Result<Vec<u8>, NotServed> {
    let members = Members::of(bytes)?;
    let kind = members.get("resourceType").ok_or(NotServed::NoType)?;
    let meta = members.get("meta").map(|meta| Members::of(meta.get().as_bytes())).transpose()?;
    let mut out = Vec::with_capacity(bytes.len() + 128);
    // Writing to a Vec never fails.
    let _ = write!(out, "{{\"resourceType\":{},\"id\":{}", kind.get(), quoted(id));
    let _ = write!(out, ",\"meta\":{{\"versionId\":\"{version}\",\"lastUpdated\":{}", quoted(last_updated));
    // The extensions of a value go with the value that they are about.
    let replaced = ["versionId", "lastUpdated", "_versionId", "_lastUpdated"];
    write_members(&mut out, meta.iter().flat_map(Members::iter).filter(|(name, _)| !replaced.contains(name)));
    out.push(b'}');
    write_members(
        &mut out,
        members.iter().filter(|(name, _)| !["resourceType", "id", "_id", "meta"].contains(name)),
    );
    out.push(b'}');
    Ok(out)
}

fn write_members<'a>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'a str, &'a RawValue)>) {
    for (name, value) in members {
        let _ = write!(out, ",{}:{}", quoted(name), value.get());
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_served_is_what_was_received_with_the_servers_members_put_in() {
        let received = r#" { "valueDecimal" : 1.10, "meta":{"tag":[ {"code":"a"} ],"versionId":"9","x":1e2},
            "id":"theirs", "resourceType":"Observation","z":{"b":1,"a":2 }, "unknown\u0041":"\u00e9" } "#;
        let served = served(received.as_bytes(), "7", 3, "2026-01-02T03:04:05Z").unwrap();
        let expected = concat!(
            r#"{"resourceType":"Observation","id":"7","meta":{"versionId":"3","lastUpdated":"2026-01-02T03:04:05Z","#,
            r#""tag":[ {"code":"a"} ],"x":1e2},"valueDecimal":1.10,"z":{"b":1,"a":2 },"unknownA":"\u00e9"}"#
        );
        assert_eq!(String::from_utf8(served).unwrap(), expected);
    }

    #[test]
    fn what_is_no_resource_is_not_served() {
        assert_eq!(served(b"[1]", "1", 1, "x"), Err(NotServed::NotAnObject));
        assert_eq!(served(b"{\"resourceType\":\"A\",\"meta\":1}", "1", 1, "x"), Err(NotServed::NotAnObject));
        assert_eq!(served(b"{\"id\":\"1\"}", "1", 1, "x"), Err(NotServed::NoType));
        assert_eq!(served(b"{\"resourceType\":\"A\"} {}", "1", 1, "x"), Err(NotServed::NotAnObject));
    }

    proptest! {
        #[test]
        fn any_bytes_are_served_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), id in ".{0,8}") {
            if let Ok(out) = served(&bytes, &id, 1, "x") {
                let out: Value = serde_json::from_slice(&out).unwrap();
                prop_assert_eq!(&out["id"], &json!(id));
            }
        }
    }
}
