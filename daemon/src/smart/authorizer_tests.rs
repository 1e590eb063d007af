//! The authorizer against a strict token endpoint over loopback TLS.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{
    config::ClientTls,
    smart::{
        Channel,
        answer::Refusal,
        key_folder::KeyFolder,
        scope::{self, Act, Form},
    },
    tls,
};

#[path = "../../../tests/site/tokens.rs"]
mod tokens;
use tokens::{Mood, Tokens};

const CLIENT: &str = "box-1";
const NOW: i64 = 1_772_323_200_000;

/// A token endpoint that knows the key in use, and what asks it.
struct Set {
    dir: TempDir,
    folder: KeyFolder,
    server: Tokens,
    http: reqwest::Client,
}

impl Set {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = standin::Pki::create(dir.path()).unwrap();
        let server = Tokens::start(&pki, CLIENT, None).await;
        let folder = KeyFolder(dir.path().join("keys"));
        folder.make(NOW).unwrap();
        let config = tls::client_config(&ClientTls { ca: pki.ca, shown: None }).unwrap();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let set = Self { dir, folder, server, http };
        set.publish();
        set
    }

    /// Lets the endpoint know the keys of the folder.
    fn publish(&self) {
        let out = self.path("jwks.json");
        self.folder.publish(&out, NOW).unwrap();
        self.server.desk().keys = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self) -> Settings {
        Settings {
            destination: "ehr:test".to_owned(),
            base_url: self.server.base_url(),
            client_id: CLIENT.to_owned(),
            keys: KeySource::Folder(self.folder.clone()),
            token_url: None,
            scopes: scope::asked(&["Observation"], &["Patient"], Form::V2),
        }
    }

    fn authorizer(&self) -> Arc<Authorizer> {
        self.with(self.settings())
    }

    fn with(&self, settings: Settings) -> Arc<Authorizer> {
        Arc::new(Authorizer::new(settings, self.http.clone()))
    }

    fn refusals(&self) -> Vec<String> {
        self.server.desk().asked.iter().filter_map(|asked| asked.clone().err()).collect()
    }
}

async fn token(authorizer: &Authorizer) -> Arc<Bearer> {
    match authorizer.bearer().await {
        Ok(bearer) => bearer,
        Err(trouble) => panic!("{trouble}"),
    }
}

#[tokio::test]
async fn many_who_wait_share_one_request_and_a_strict_endpoint_finds_nothing_wrong() {
    let set = Set::new().await;
    set.server.desk().takes = Duration::from_millis(100);
    let authorizer = set.authorizer();
    let waiting: Vec<_> = (0..32)
        .map(|_| {
            tokio::spawn({
                let authorizer = Arc::clone(&authorizer);
                async move { token(&authorizer).await.serial }
            })
        })
        .collect();
    for one in waiting {
        assert_eq!(one.await.unwrap(), 1);
    }
    assert_eq!(set.server.asked().len(), 1, "{:?}", set.refusals());
    let standing = authorizer.standing();
    assert_eq!(standing.token_url, Some(set.server.token_url()));
    assert!(standing.missing.is_empty() && standing.trouble.is_none());
    assert!(standing.left.unwrap() > Duration::from_secs(290));
    let granted = authorizer.granted().borrow().clone().unwrap();
    assert!(granted.may(Act::Create, "Observation") && !granted.may(Act::Create, "Patient"));
}

#[tokio::test]
async fn the_judge_refuses_what_it_should_so_that_its_silence_means_something() {
    let set = Set::new().await;
    let key = set.folder.in_use().unwrap();
    let url = set.server.token_url();
    let now_s = time::now_ms() / 1_000;
    let ask = async |client: &str, audience: &str, at_s: i64, jti: u128| {
        let signed = assertion::sign(&key, &assertion::claims(client, audience, at_s, jti)).unwrap();
        let request = set.http.post(&url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(form("system/Observation.rs", &signed)).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(CLIENT, &url, now_s, 1).await, 200);
    assert_eq!(ask(CLIENT, &url, now_s, 1).await, 400);
    assert_eq!(ask(CLIENT, url.trim_end_matches('/'), now_s, 2).await, 400);
    assert_eq!(ask("box-2", &url, now_s, 3).await, 400);
    assert_eq!(ask(CLIENT, &url, now_s + 60, 4).await, 400);
    assert_eq!(ask(CLIENT, &url, now_s - 600, 5).await, 400);
    set.server.desk().keys = serde_json::json!({ "keys": [] });
    assert_eq!(ask(CLIENT, &url, now_s, 6).await, 400);
    assert_eq!(set.refusals(), ["replayed", "aud", "iss or sub", "in the future", "expired", "unknown key"]);
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_is_made_up_for_with_and_without_discovery() {
    for ahead_s in [600, -600] {
        for token_url in [false, true] {
            let set = Set::new().await;
            set.server.desk().ahead_s = ahead_s;
            let token_url = token_url.then(|| set.server.token_url());
            let authorizer = set.with(Settings { token_url: token_url.clone(), ..set.settings() });
            token(&authorizer).await;
            // Discovery tells the time before the first assertion; without it the first is refused.
            assert_eq!(set.refusals().len(), usize::from(token_url.is_some()), "{:?}", set.refusals());
            let measured = authorizer.standing().skew.measured_s().unwrap();
            assert!((measured - ahead_s).abs() <= 2, "{measured}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_an_hour_off_is_told_and_not_followed() {
    let set = Set::new().await;
    set.server.desk().ahead_s = 3_600;
    let authorizer = set.authorizer();
    let trouble = authorizer.bearer().await.unwrap_err();
    assert_eq!(trouble, Trouble::Refused(Refusal::InvalidClient));
    assert_eq!(set.refusals(), ["expired"], "once");
    let standing = authorizer.standing();
    assert!(matches!(standing.skew, Skew::TooLarge(3_590..3_610)), "{:?}", standing.skew);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_all_who_held_it() {
    let set = Set::new().await;
    let authorizer = set.authorizer();
    let first = token(&authorizer).await;
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn({
                let (authorizer, first) = (Arc::clone(&authorizer), Arc::clone(&first));
                async move { authorizer.instead_of(&first).await.unwrap().serial }
            })
        })
        .collect();
    for one in waiting {
        assert_eq!(one.await.unwrap(), 2);
    }
    assert_eq!(set.server.desk().granted(), 2);
}

#[tokio::test]
async fn a_token_near_its_end_is_renewed_while_the_old_one_still_counts() {
    let set = Set::new().await;
    let authorizer = set.authorizer();
    let first = token(&authorizer).await;
    authorizer.keep().await.unwrap();
    assert_eq!(set.server.desk().granted(), 1, "it is not due yet");
    // Of its 300 s 280 have passed: it falls due after 270 at the latest, and counts until 297.
    let asked_at = first.asked_at.checked_sub(Duration::from_secs(280)).unwrap();
    let Bearer { serial, header, asked_at_ms, plan, .. } = &*first;
    let (serial, header, asked_at_ms, plan) = (*serial, header.clone(), *asked_at_ms, *plan);
    authorizer.state().held = Some(Arc::new(Bearer { serial, header, asked_at, asked_at_ms, plan }));
    assert_eq!(token(&authorizer).await.serial, 1, "nobody waits for the renewal");
    authorizer.keep().await.unwrap();
    assert_eq!(token(&authorizer).await.serial, 2);
    assert_eq!(set.server.desk().granted(), 2);
}

#[tokio::test]
async fn a_token_is_taken_over_where_the_same_is_asked_as_the_same_client() {
    let set = Set::new().await;
    let before = set.authorizer();
    let held = token(&before).await;
    let after = set.authorizer();
    after.take_over(&before);
    assert!(Arc::ptr_eq(&token(&after).await, &held));
    assert!(after.granted().borrow().is_some());
    let next = after.instead_of(&held).await.unwrap();
    assert_eq!((next.serial, set.server.desk().granted()), (2, 2));
    let other = set.with(Settings { scopes: vec!["system/Patient.rs".to_owned()], ..set.settings() });
    other.take_over(&before);
    token(&other).await;
    assert_eq!(set.server.desk().granted(), 3);
}

#[tokio::test]
async fn what_was_redacted_is_missing() {
    let set = Set::new().await;
    set.server.desk().grants = Some("system/Observation.read system/Patient.read".to_owned());
    let authorizer = set.authorizer();
    let mut granted = authorizer.granted();
    token(&authorizer).await;
    assert!(granted.has_changed().unwrap());
    let seen = granted.borrow_and_update().clone().unwrap();
    assert!(!seen.may(Act::Create, "Observation") && seen.may(Act::Search, "Observation"));
    assert_eq!(authorizer.standing().missing, ["system/Observation.cu"]);
    let channel = Channel::with_tokens(set.http.clone(), Authorizer::new(set.settings(), set.http.clone()));
    assert_eq!(channel.unpermitted_write("Observation"), None, "nothing is known before the first token");
    channel.prepare().await.unwrap();
    let cause = channel.unpermitted_write("Observation").unwrap();
    assert!(cause.contains("create or update Observation"), "{cause}");
}

#[tokio::test]
async fn a_refused_client_is_not_asked_for_again_before_its_time_unless_its_key_changed() {
    let set = Set::new().await;
    set.server.desk().keys = serde_json::json!({ "keys": [] });
    let authorizer = set.authorizer();
    for _ in 0..5 {
        assert_eq!(authorizer.bearer().await.unwrap_err(), Trouble::Refused(Refusal::InvalidClient));
    }
    assert_eq!(set.refusals(), ["unknown key"], "asked once");
    let mut available = authorizer.available();
    assert!(!*available.borrow_and_update());
    set.publish();
    set.folder.make(NOW).unwrap();
    set.publish();
    set.folder.switch(None, NOW).unwrap();
    token(&authorizer).await;
    assert!(available.has_changed().unwrap() && *available.borrow());
    assert_eq!(authorizer.standing().signed_with.unwrap().0, set.folder.in_use().unwrap().kid());
}

#[tokio::test]
async fn a_switched_key_signs_the_next_request_and_the_one_before_is_known_still() {
    let set = Set::new().await;
    let authorizer = set.authorizer();
    let first = token(&authorizer).await;
    let (second, _) = set.folder.make(NOW).unwrap();
    set.publish();
    let third = authorizer.instead_of(&first).await.unwrap();
    set.folder.switch(None, NOW).unwrap();
    authorizer.instead_of(&third).await.unwrap();
    let asked = set.server.asked();
    let kids: Vec<&str> = asked.iter().map(|kid| kid.as_deref().unwrap()).collect();
    assert_eq!(kids.len(), 3);
    assert!(kids[0] == kids[1] && kids[2] == second, "{kids:?}");
}

#[tokio::test]
async fn every_trouble_is_told_for_what_it_is_and_holds_no_secret() {
    let set = Set::new().await;
    let mut files = std::fs::read_dir(&set.folder.0).unwrap().map(|file| file.unwrap().path());
    let pem = files.find(|path| path.extension().is_some_and(|end| end == "pem")).unwrap();
    let secret = std::fs::read_to_string(&pem).unwrap().lines().nth(1).unwrap().to_owned();
    let trouble = async |settings: Settings| set.with(settings).bearer().await.unwrap_err();
    let mut told = Vec::new();

    for (mood, word, lasts) in [
        (Mood::Refuse(400, "invalid_scope"), "invalid_scope", true),
        (Mood::Refuse(401, "invalid_client"), "invalid_client", true),
        (Mood::Refuse(403, "access_denied"), "status", true),
        (Mood::Later(503, "120"), "later", false),
    ] {
        set.server.desk().mood = mood;
        let trouble = trouble(set.settings()).await;
        assert_eq!((trouble.word(), trouble.lasts()), (word, lasts));
        if let Trouble::Later { wait: asked, .. } = &trouble {
            assert_eq!(*asked, Some(Duration::from_secs(120)));
            assert_eq!(wait(&trouble, 1, 0.0), Duration::from_secs(120));
        }
        told.push(trouble);
    }
    set.server.desk().mood = Mood::Strict;
    set.server.desk().has_discovery = false;
    told.push(trouble(set.settings()).await);
    assert_eq!(told.last().unwrap(), &Trouble::NoDiscovery(401));
    let nowhere = Settings { token_url: Some("https://127.0.0.1:1/token".to_owned()), ..set.settings() };
    told.push(trouble(nowhere).await);
    assert_eq!(told.last().unwrap().word(), "unreached");
    std::fs::write(&pem, format!("{secret}\n")).unwrap();
    told.push(trouble(set.settings()).await);
    assert_eq!(told.last().unwrap().word(), "key");
    for trouble in told {
        let text = format!("{trouble} {trouble:?}");
        assert!(!text.contains("SECRET") && !text.contains(&secret) && !text.contains("eyJ"), "{text}");
        assert!(!trouble.advice().is_empty());
    }
}

#[tokio::test]
async fn whoever_slowed_down_for_want_of_a_token_is_told_when_there_is_one() {
    let set = Set::new().await;
    set.server.desk().mood = Mood::Later(503, "1");
    let channel = Channel::with_tokens(set.http.clone(), Authorizer::new(set.settings(), set.http.clone()));
    let attempt = channel.prepare().await.unwrap_err();
    assert!(matches!(attempt, crate::verdict::Attempt::Unsent(_)), "{attempt:?}");
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { channel.recovered().await }
    });
    set.server.desk().mood = Mood::Strict;
    // The second that the endpoint asked for has to pass.
    while channel.prepare().await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn no_debug_shows_a_token() {
    let set = Set::new().await;
    let channel = Channel::with_tokens(set.http.clone(), Authorizer::new(set.settings(), set.http.clone()));
    channel.prepare().await.unwrap();
    let bearer = channel.bearer().await.unwrap().unwrap();
    let shown = format!(
        "{channel:?} {bearer:?} {:?} {:?}",
        bearer.header(),
        channel.authorizer().unwrap().standing()
    );
    let tokens = set.server.desk().tokens();
    assert_eq!(tokens.len(), 1);
    assert!(!shown.contains(&tokens[0]) && !shown.contains("T0K3N"), "{shown}");
    assert!(!channel.authorizer().unwrap().standing().document().to_string().contains("T0K3N"));
}

#[test]
fn refusals_wait_longer_than_silence_and_both_are_bounded() {
    let silent = Trouble::Unreached(String::new());
    let refused = Trouble::Refused(Refusal::InvalidClient);
    for (trouble, first, last) in [(silent, 1, 60), (refused, 5, 300)] {
        assert_eq!(wait(&trouble, 1, 1.0), Duration::from_secs(first));
        assert_eq!(wait(&trouble, u32::MAX, 1.0), Duration::from_secs(last));
    }
    let later = |s| Trouble::Later { status: 429, wait: Some(Duration::from_secs(s)) };
    assert_eq!(wait(&later(0), 1, 0.5), Duration::from_secs(1));
    assert_eq!(wait(&later(1_772_323_200), 1, 0.5), Duration::from_secs(3_600));
}
