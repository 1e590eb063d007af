//! Who may connect to a listener, and whose messages it takes: `allow_peers`, `allow_subjects`, `allow_senders`.
//!
//! Invariants: an empty list, or none, lets anyone in; a faulty entry is a fault and never an entry less. What is
//! written is compared as it stands: there are no wildcards. Bounds: 1024 entries a list.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::section::Section;

/// The three lists of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Peer addresses; empty is any.
    pub peers: Vec<IpNet>,
    /// Names of which a sender's certificate must carry one; empty is any.
    pub subjects: Vec<SubjectRule>,
    /// Senders in MSH-3 and MSH-4; empty is any.
    pub senders: Vec<AllowedSender>,
}

/// One name that a certificate may carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectRule {
    /// `CN=`: a common name of the subject, byte for byte.
    CommonName(String),
    /// `dns:`: a DNS name among the subject alternative names, letters of either case.
    Dns(String),
    /// `ip:`: an address among them.
    Ip(IpAddr),
    /// `uri:`: a URI among them, byte for byte.
    Uri(String),
}

/// One entry of `allow_senders`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedSender {
    /// The first component of MSH-3, byte for byte.
    pub application: String,
    /// The first component of MSH-4, byte for byte; `None` is any facility.
    pub facility: Option<String>,
}

impl Access {
    /// Reads the lists of a listener. `certificates` says whether every sender must show a certificate there.
    pub(super) fn read(listener: &Section<'_>, certificates: bool) -> Option<Self> {
        let peers = read_peers(listener);
        let subjects = read_subjects(listener, certificates);
        let senders = read_senders(listener);
        Some(Self { peers: peers?, subjects: subjects?, senders: senders? })
    }
}

pub(super) fn read_peers(listener: &Section<'_>) -> Option<Vec<IpNet>> {
    let Some(texts) = listener.texts("allow_peers", "[\"10.1.0.0/16\", \"127.0.0.1\"]") else {
        return (!listener.has("allow_peers")).then(Vec::new);
    };
    let mut nets = Vec::new();
    for text in texts {
        match network(text) {
            Ok(net) => nets.push(net),
            Err((what, instead)) => {
                listener.fault("allow_peers", &format!("holds \"{text}\", {what}"), instead);
                return None;
            }
        }
    }
    Some(nets)
}

/// A block of addresses, or one address. What is wrong with it, and what to write instead, where it is neither.
fn network(text: &str) -> Result<IpNet, (&'static str, String)> {
    let net = match text.split_once('/') {
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
        // Address and prefix by themselves: ipnet takes 010.1.0.0/16, which some read as octal.
        Some((address, prefix)) => {
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix = prefix.parse().ok().filter(|_| digits);
            address.parse::<IpAddr>().ok().zip(prefix).and_then(|(address, n)| IpNet::new(address, n).ok())
        }
    };
    let Some(net) = net else {
        let instead = "write an address such as \"127.0.0.1\", or a block such as \"10.1.0.0/16\"";
        return Err(("which is no IP address and no block of them", instead.to_owned()));
    };
    // A typing error in a prefix would let in a thousand times as many.
    if net != net.trunc() {
        return Err((
            "which has bits set beyond its prefix",
            format!("write \"{}\" for the block, or \"{}\" for the one address", net.trunc(), net.addr()),
        ));
    }
    match net {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => Err((
            "an IPv4 address written as IPv6",
            "write the IPv4 block: such peers are compared as IPv4".to_owned(),
        )),
        net => Ok(net),
    }
}

fn read_subjects(listener: &Section<'_>, certificates: bool) -> Option<Vec<SubjectRule>> {
    let example = "[\"CN=engine-a\", \"dns:engine.example.org\"]";
    let Some(texts) = listener.texts("allow_subjects", example) else {
        return (!listener.has("allow_subjects")).then(Vec::new);
    };
    if !texts.is_empty() && !certificates {
        listener.fault(
            "allow_subjects",
            "needs every sender to show a certificate",
            "write tls = { ..., client_ca = \"senders-ca.pem\", client_auth = \"required\" }",
        );
        return None;
    }
    let mut rules = Vec::new();
    for text in texts {
        let Some(rule) = subject(text) else {
            listener.fault(
                "allow_subjects",
                &format!("holds \"{text}\", which is no name of a certificate"),
                "write CN=, dns:, ip: or uri: and the name after it; there are no wildcards",
            );
            return None;
        };
        rules.push(rule);
    }
    Some(rules)
}

pub(super) fn subject(text: &str) -> Option<SubjectRule> {
    let (kind, name) = text.split_once(['=', ':'])?;
    if name.is_empty() || name != name.trim() {
        return None;
    }
    match text.get(..=kind.len())? {
        "CN=" => Some(SubjectRule::CommonName(name.to_owned())),
        "dns:" if !name.contains('*') => Some(SubjectRule::Dns(name.to_ascii_lowercase())),
        "ip:" => name.parse().ok().map(SubjectRule::Ip),
        "uri:" => Some(SubjectRule::Uri(name.to_owned())),
        _ => None,
    }
}

fn read_senders(listener: &Section<'_>) -> Option<Vec<AllowedSender>> {
    let mut seen = BTreeSet::new();
    let mut whole = true;
    let senders =
        listener.entries("allow_senders", "[{ application = \"LAB\", facility = \"NORTH\" }]", |section| {
            section.require("application", "application = \"LAB\", as in MSH-3");
            let application = section.text("application", "\"LAB\"").map(str::to_owned);
            let facility = section.text("facility", "\"NORTH\"").map(str::to_owned);
            if section.has("facility") && facility.is_none() {
                // A facility that cannot be read must not become any facility.
                whole = false;
                return None;
            }
            let sender = application.map(|application| AllowedSender { application, facility });
            if sender.as_ref().is_some_and(|sender| !seen.insert(sender.clone())) {
                section.fault("application", "stands in this list twice", "remove one of the two");
            }
            whole &= sender.is_some();
            sender
        });
    whole.then_some(senders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_an_address_or_a_prefix_without_bits_beyond_it() {
        for (text, net) in [
            ("127.0.0.1", Some("127.0.0.1/32")),
            ("10.1.0.0/16", Some("10.1.0.0/16")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("fd00::/8", Some("fd00::/8")),
            ("::1", Some("::1/128")),
            ("10.1.2.3/16", None),
            ("10.1.0.0/33", None),
            ("10.1.0.0/", None),
            ("10.1.0.0/+16", None),
            ("10.1", None),
            ("010.1.0.0/16", None),
            ("::ffff:10.1.0.0/112", None),
            ("engine.example.org", None),
            ("", None),
        ] {
            assert_eq!(network(text).ok(), net.map(|net| net.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_subject_is_a_kind_and_a_name() {
        for (text, rule) in [
            ("CN=engine-a", Some(SubjectRule::CommonName("engine-a".to_owned()))),
            ("CN=a=b:c", Some(SubjectRule::CommonName("a=b:c".to_owned()))),
            ("dns:Engine.Example", Some(SubjectRule::Dns("engine.example".to_owned()))),
            ("ip:10.0.0.1", Some(SubjectRule::Ip([10, 0, 0, 1].into()))),
            ("uri:urn:x", Some(SubjectRule::Uri("urn:x".to_owned()))),
            ("cn=engine", None),
            ("CN:engine", None),
            ("dns=engine", None),
            ("dns:*.example", None),
            ("CN=", None),
            ("CN= engine", None),
            ("O=North", None),
            ("engine", None),
            ("ip:engine", None),
        ] {
            assert_eq!(subject(text), rule, "{text}");
        }
    }
}
