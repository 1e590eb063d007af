//! What a bundle may hold, and what it can never do.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{config::OnRecovery, destination::ceiling};

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::generate().unwrap()
}

fn key(pair: &Ed25519KeyPair) -> BundleKey {
    let der = [&SPKI_PREFIX[..], pair.public_key().as_ref()].concat();
    BundleKey::read(&format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    ))
    .unwrap()
}

fn signed(pair: &Ed25519KeyPair, content: &Value) -> Vec<u8> {
    let content = content.to_string();
    let signature = pair.sign(format!("{FORM}\n{content}").as_bytes());
    json!({"bundle": STANDARD.encode(content), "signature": STANDARD.encode(signature.as_ref())})
        .to_string()
        .into_bytes()
}

#[test]
fn only_what_a_trusted_key_signed_is_opened_and_not_a_byte_of_it_may_differ() {
    let (ours, other) = (pair(), pair());
    let content = json!({"form": FORM, "version": 7});
    let bytes = signed(&ours, &content);
    assert_eq!(Bundle::open(&bytes, &[key(&other), key(&ours)]).unwrap().version, 7);
    assert_eq!(Bundle::open(&bytes, &[key(&other)]), Err(BundleError::Signature));
    assert_eq!(Bundle::open(&bytes, &[]), Err(BundleError::Signature));
    let mut envelope: Value = serde_json::from_slice(&bytes).unwrap();
    envelope["bundle"] = json!(STANDARD.encode(json!({"form": FORM, "version": 8}).to_string()));
    assert_eq!(Bundle::open(envelope.to_string().as_bytes(), &[key(&ours)]), Err(BundleError::Signature));
    // What was signed for another purpose is no bundle.
    let bare = ours.sign(content.to_string().as_bytes());
    envelope["bundle"] = json!(STANDARD.encode(content.to_string()));
    envelope["signature"] = json!(STANDARD.encode(bare.as_ref()));
    assert_eq!(Bundle::open(envelope.to_string().as_bytes(), &[key(&ours)]), Err(BundleError::Signature));
}

#[test]
fn what_is_not_on_the_list_refuses_the_whole_bundle() {
    let ours = pair();
    for more in [
        json!({"mllp": [{"listen": "0.0.0.0:2575", "plain": true}]}),
        json!({"upstream": {"base_url": "https://elsewhere.example"}}),
        json!({"store": {"key_file": "x"}}),
        json!({"admin": {"listen": "0.0.0.0:1"}}),
        json!({"fleet": {"bundle_keys": ["x"]}}),
        json!({"files": {"../../etc/passwd": ""}}),
        json!({"policies": {"standard": ""}}),
        json!({"policies": {"fleet-../x": ""}}),
        json!({"sites": {"main": {"mode": "full"}}}),
        json!({"sites": {"main": {"mode": "shadow"}}}),
        json!({"sites": {"main": {"bulk": true}}}),
        json!({"sites": {"main": {"ehr": {"base_url": "https://elsewhere.example"}}}}),
        json!({"sites": {"main": {"mode": "partial"}}}),
        json!({"sites": {"main": {"mode": "partial", "allow": ["Everything"]}}}),
        json!({"sites": {"main": {"allow": ["Observation"]}}}),
        json!({"settings": {"url": "https://elsewhere.example"}}),
        json!({"settings": {"check_in_every_s": 1}}),
        json!({"form": "isthmus-bundle/2"}),
        json!({"note": "two\nlines"}),
        json!({"version": -1}),
    ] {
        let mut content = json!({"form": FORM, "version": 1});
        content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let opened = Bundle::open(&signed(&ours, &content), &[key(&ours)]);
        assert!(matches!(opened, Err(BundleError::Content(_))), "{content}: {opened:?}");
    }
}

#[test]
fn a_version_follows_only_upwards_or_where_it_says_which_one_it_rolls_back() {
    let ours = pair();
    let bundle = |version: u64, rolls_back: Option<u64>| {
        let content = json!({"form": FORM, "version": version, "rolls_back": rolls_back});
        Bundle::open(&signed(&ours, &content), &[key(&ours)]).unwrap()
    };
    for (version, rolls_back, highest, in_place, wanted) in [
        (1, None, 0, None, true),
        (7, None, 7, Some(7), false),
        (6, None, 7, Some(7), false),
        (8, None, 7, Some(7), true),
        (6, Some(7), 7, Some(7), true),
        (6, Some(5), 7, Some(7), false),
        (7, Some(7), 7, Some(7), false),
        // After the roll-back: 7 was in place once, and does not come back by itself.
        (7, None, 7, Some(6), false),
        (6, Some(7), 7, None, false),
    ] {
        assert_eq!(
            bundle(version, rolls_back).may_follow(highest, in_place),
            wanted,
            "{version} {rolls_back:?} {in_place:?}"
        );
    }
}

#[test]
fn keys_of_other_kinds_are_none() {
    for text in [
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
    ] {
        assert_eq!(BundleKey::read(text), None);
    }
}

fn capabilities() -> impl Strategy<Value = Vec<Capability>> {
    proptest::sample::subsequence(Capability::ALL.to_vec(), 0..=Capability::ALL.len())
}

proptest! {
    /// Whatever a bundle says, nothing is permitted that the local file does not permit.
    #[test]
    fn a_narrowing_permits_nothing_that_the_local_file_does_not(
        mode in proptest::sample::select(Mode::ALL.to_vec()),
        allow in capabilities(),
        wanted in capabilities(),
        narrow in prop_oneof![Just(None), Just(Some(NarrowMode::ReadOnly)), Just(Some(NarrowMode::Partial))],
        bulk in any::<bool>(),
        no_bulk in any::<bool>(),
    ) {
        let allow = if mode == Mode::Partial { allow } else { Vec::new() };
        let local = Permits { mode, allow, bulk, on_recovery: OnRecovery::Latest, summaries_in_chart: false };
        let narrowing = Narrowing {
            mode: narrow,
            allow: wanted.iter().map(|one| one.name().to_owned()).collect(),
            bulk: no_bulk.then_some(false),
        };
        let narrowed = narrowing.narrow(&local);
        for one in Capability::ALL {
            prop_assert!(!ceiling(&narrowed).permits(one) || ceiling(&local).permits(one), "{one:?}: {narrowed:?}");
        }
        prop_assert!(!narrowed.bulk || local.bulk);
        // Shadow, in which writes are lost, is neither begun nor ended by it.
        prop_assert_eq!(narrowed.mode == Mode::Shadow, local.mode == Mode::Shadow);
    }
}
