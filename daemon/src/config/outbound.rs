//! `[[outbound]]`: MLLP receivers that messages are sent to, and the listeners that answer through one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mllp::asked::Mode;
use mllp::client::Await;
use toml::de::{DeTable, DeValue};

use super::section::Section;
use super::spelling::nearest;
use super::transport::{CONNECT_TIMEOUT, RETRY_MAX, RETRY_MIN, plain_or};
use crate::outbound::{
    Address,
    policy::{OnRefusal, Policy},
};

/// The default number of connections: most receivers take one, and with one the order over all patients is
/// nearly kept too.
const CONNECTIONS: usize = 1;
/// The most connections to one receiver.
const MAX_CONNECTIONS: u64 = 64;
/// The default wait for an answer; interface engines commonly use 10 to 60 s.
const ACK_TIMEOUT: Duration = mllp::client::DEFAULT_ANSWER_TIMEOUT;
/// The default time without a message after which a connection is closed: below what firewalls forget after.
const IDLE_CLOSE: Duration = Duration::from_secs(300);
/// The most messages a second that a limit may be set to.
const MAX_RATE: u64 = 100_000;
/// The messages a second that a fault suggests; there is no limit where none is written.
const USUAL_RATE: u64 = 10;
/// The part of a second that the default burst makes up for: timers are no finer than milliseconds.
const BURST_PART: u32 = 10;

const TENTH: Duration = Duration::from_millis(100);
const SHORTEST_RETRY: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// One `[[outbound]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Its name; the destination's id is `mllp:<name>`.
    pub name: String,
    /// The receiver.
    pub address: Address,
    /// TLS; `None` is plain MLLP, which the file asked for by `plain = true`.
    pub tls: Option<OutboundTls>,
    /// Connections at a time: 1 to 64, 1 by default.
    pub connections: usize,
    /// The longest wait for an answer: 100 ms to 1 h, 30 s by default.
    pub ack_timeout: Duration,
    /// The time a connection may take to be made, TLS included: 100 ms to 1 h, 10 s by default.
    pub connect_timeout: Duration,
    /// The time without a message after which a connection is closed: 1 s to a day, 5 min by default.
    pub idle_close: Duration,
    /// Messages a second: 1 to 100,000; `None`, the default, is as fast as they are answered.
    pub rate: Option<u32>,
    /// Messages at once after a pause: 1 to 100,000; by default a tenth of a second's worth, at least 1.
    pub burst: u32,
    /// The first wait before a message is sent again: 10 ms to 1 h, 1 s by default.
    pub retry_min: Duration,
    /// The longest such wait: 10 ms to a day, 5 min by default; not below `retry_min`.
    pub retry_max: Duration,
    /// What follows from AE.
    pub on_error: OnRefusal,
    /// What follows from AR (but for condition 207) and CR.
    pub on_reject: OnRefusal,
    /// Which answer ends the wait: `await = "accept"` or `"application"`.
    pub awaited: Await,
}

/// What a receiver is proved by, and what proves us where it wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundTls {
    /// The certificates that may sign the receiver's; no other is trusted.
    pub ca: PathBuf,
    /// Our certificate and our private key.
    pub shown: Option<(PathBuf, PathBuf)>,
}

/// Reads every `[[outbound]]`.
pub(super) fn read_outbounds(root: &Section<'_>) -> Vec<Outbound> {
    let mut names = BTreeSet::new();
    root.tables("outbound", |section| {
        section.require("name", "name = \"results\"");
        section.require("address", "address = \"engine.hospital.example:2575\"");
        let name = section.name("name", "\"results\"");
        if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            section.fault("name", "is the name of another outbound too", "give each its own name");
        }
        let address = read_address(section);
        let tls = read_transport(section);
        let rate = section.count("rate", 1..=MAX_RATE, USUAL_RATE).and_then(|n| u32::try_from(n).ok());
        let burst = section.count("burst", 1..=MAX_RATE, USUAL_RATE).and_then(|n| u32::try_from(n).ok());
        let (retry_min, retry_max) = read_retry(section);
        let wait =
            |key, least, most, shipped| section.duration(key, least..=most, shipped).unwrap_or(shipped);
        let shipped = Policy::default();
        let awaited =
            section.choice("await", &[("accept", Await::First), ("application", Await::Application)], &[]);
        let connections = section.count("connections", 1..=MAX_CONNECTIONS, CONNECTIONS as u64);
        Some(Outbound {
            connections: connections.and_then(|n| usize::try_from(n).ok()).unwrap_or(CONNECTIONS),
            ack_timeout: wait("ack_timeout", TENTH, HOUR, ACK_TIMEOUT),
            connect_timeout: wait("connect_timeout", TENTH, HOUR, CONNECT_TIMEOUT),
            idle_close: wait("idle_close", SECOND, DAY, IDLE_CLOSE),
            rate,
            burst: burst.unwrap_or_else(|| (rate.unwrap_or_default() / BURST_PART).max(1)),
            retry_min,
            retry_max,
            on_error: section.choice("on_error", &OnRefusal::WORDS, &[]).unwrap_or(shipped.on_error),
            on_reject: section.choice("on_reject", &OnRefusal::WORDS, &[]).unwrap_or(shipped.on_reject),
            awaited: awaited.unwrap_or_default(),
            name: name?,
            address: address?,
            tls: tls?,
        })
    })
}

fn read_address(section: &Section<'_>) -> Option<Address> {
    let text = section.text("address", "\"engine.hospital.example:2575\"")?;
    match Address::parse(text) {
        Ok(address) => Some(address),
        Err(how) => {
            section.fault("address", "is no host with a port", how.to_string());
            None
        }
    }
}

fn read_transport(section: &Section<'_>) -> Option<Option<OutboundTls>> {
    let tls = section.table("tls", |tls| {
        tls.require("ca", "ca = \"ca.pem\"");
        let ca = tls.certificates("ca", "\"ca.pem\"");
        let (with_cert, with_key) = (tls.has("cert"), tls.has("key"));
        let cert = tls.certificates("cert", "\"client.pem\"");
        let key = tls.private_key("key", "\"client.key\"");
        if with_cert != with_key {
            let alone = if with_cert { "cert" } else { "key" };
            tls.fault(
                alone,
                "stands alone",
                "write cert = \"client.pem\" and key = \"client.key\", or neither",
            );
        }
        let shown = if with_cert || with_key { Some((cert?, key?)) } else { None };
        let ca = ca?;
        tls.can_connect(&ca, shown.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path())))?;
        Some(OutboundTls { ca, shown })
    });
    plain_or(section, tls, "tls = { ca = \"ca.pem\" }")
}

fn read_retry(section: &Section<'_>) -> (Duration, Duration) {
    let retry_min = section.duration("retry_min", SHORTEST_RETRY..=HOUR, RETRY_MIN).unwrap_or(RETRY_MIN);
    let retry_max = section.duration("retry_max", SHORTEST_RETRY..=DAY, RETRY_MAX).unwrap_or(RETRY_MAX);
    if retry_max < retry_min {
        let key = if section.has("retry_max") { "retry_max" } else { "retry_min" };
        section.fault(
            key,
            "makes the longest wait shorter than the first",
            "write retry_max no smaller than retry_min (1s to 5m where not written)",
        );
    }
    (retry_min, retry_max)
}

/// The `application_acks` of a listener: the name of an outbound, with a fault where there is none of that name, or
/// where it leads back to a listener of ours. `answers` is what the listener's own answer is.
pub(super) fn read_return(root: &Section<'_>, listener: &Section<'_>, answers: Mode) -> Option<String> {
    const KEY: &str = "application_acks";
    let text = listener.text(KEY, "\"results\"")?;
    if Address::parse(text).is_ok() {
        let what = "is an address, and not the name of an [[outbound]]";
        listener.fault(
            KEY,
            what,
            format!("write [[outbound]], name = \"results\" and address = \"{text}\", and here {KEY} = \"results\""),
        );
        return None;
    }
    let wanted = listener.name(KEY, "\"results\"")?;
    if answers == Mode::Original {
        listener.fault(
            KEY,
            "stands beside acknowledge = \"original\", which tells every sender AA, AE or AR already",
            format!("remove {KEY}, or write acknowledge = \"as-asked\" or \"enhanced\""),
        );
    }
    let outbounds: Vec<(&str, Option<&str>)> = entries(root, "outbound")
        .filter_map(|outbound| Some((text_at(outbound, "name")?, text_at(outbound, "address"))))
        .collect();
    let Some((_, address)) = outbounds.iter().find(|(name, _)| *name == wanted) else {
        let instead = match nearest(&wanted, outbounds.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write an [[outbound]] with name = \"{wanted}\""),
        };
        listener.fault(KEY, &format!("= \"{wanted}\" names no [[outbound]]"), instead);
        return Some(wanted);
    };
    let ours = entries(root, "mllp").filter_map(|listener| text_at(listener, "listen")?.parse().ok());
    let addressed = address.and_then(|text| Address::parse(text).ok());
    if let Some(ours) = addressed.and_then(|address| ours.into_iter().find(|ours| reaches(&address, *ours))) {
        listener.fault(
            KEY,
            &format!(
                "= \"{wanted}\" leads to {ours}, where this daemon listens: its answers would come back to it"
            ),
            format!("write the sender's own address in the [[outbound]] with name = \"{wanted}\""),
        );
    }
    Some(wanted)
}

/// The tables of a list, where it is one.
fn entries<'a>(root: &'a Section<'_>, key: &'static str) -> impl Iterator<Item = &'a DeTable<'a>> {
    let items = root.get(key).and_then(DeValue::as_array);
    items.into_iter().flat_map(|items| items.iter()).filter_map(|item| item.get_ref().as_table())
}

fn text_at<'a>(table: &'a DeTable<'_>, key: &str) -> Option<&'a str> {
    table.get(key)?.get_ref().as_str()
}

/// Whether this machine is reached at `listener` by who connects to `address`, as far as that can be told without
/// asking the network: by the same address, or by a loopback one where all are listened on.
fn reaches(address: &Address, listener: SocketAddr) -> bool {
    let Some((host, port)) = address.text.rsplit_once(':') else { return false };
    let host = host.trim_matches(['[', ']']);
    let host: Option<IpAddr> = match host {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().ok(),
    };
    let same = |host: IpAddr| {
        host == listener.ip()
            || (listener.ip().is_unspecified() && (host.is_loopback() || host.is_unspecified()))
    };
    port.parse() == Ok(listener.port()) && host.is_some_and(same)
}
