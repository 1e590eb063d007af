//! What a certificate says of itself: its end, and the names it carries.
//!
//! webpki decides whether a certificate is good and tells nothing more of it, so dates and names are read here, of
//! certificates that it has accepted or that are ours.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{config::SubjectRule, exhibit::visible::printable};

/// Most of a name that is shown in a log line, in characters: it comes from outside.
const SHOWN_CHARS: usize = 64;

/// The names in a certificate that a rule can ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    common: Vec<String>,
    dns: Vec<String>,
    ip: Vec<IpAddr>,
    uri: Vec<String>,
}

impl Names {
    /// The names of a certificate; none where it cannot be read.
    pub fn of(der: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Self::default() };
        let common = certificate.subject().iter_common_name();
        let common = common.filter_map(|name| name.as_str().ok().map(str::to_owned)).collect();
        let mut names = Self { common, ..Self::default() };
        let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return names };
        for name in &alternative.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.push(name.to_ascii_lowercase()),
                GeneralName::URI(uri) => names.uri.push((*uri).to_owned()),
                GeneralName::IPAddress(bytes) => names.ip.extend(address(bytes)),
                _ => {}
            }
        }
        names
    }

    /// Whether one of these names is in the list; any certificate where the list is empty.
    pub fn allowed(&self, rules: &[SubjectRule]) -> bool {
        let carries = |rule: &SubjectRule| match rule {
            SubjectRule::CommonName(name) => self.common.contains(name),
            SubjectRule::Dns(name) => self.dns.contains(name),
            SubjectRule::Ip(ip) => self.ip.contains(ip),
            SubjectRule::Uri(uri) => self.uri.contains(uri),
        };
        rules.is_empty() || rules.iter().any(carries)
    }

    /// The first name, for people: cut, and without anything that could forge a log line.
    pub fn shown(&self) -> String {
        let first = self.common.first().map(|name| format!("CN={name}"));
        let first = first.or_else(|| self.dns.first().map(|name| format!("dns:{name}")));
        let first = first.unwrap_or_else(|| "no common name and no DNS name".to_owned());
        printable(&first.chars().take(SHOWN_CHARS).collect::<String>())
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// When a certificate ends, in Unix seconds.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Result<i64, String> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate.validity().not_after.timestamp()),
        Err(error) => Err(format!("no X.509 certificate ({error})")),
    }
}

/// When a revocation list ought to have been replaced, in Unix seconds, where it says so.
pub(super) fn next_update(der: &CertificateRevocationListDer<'_>) -> Result<Option<i64>, String> {
    match x509_parser::parse_x509_crl(der) {
        Ok((_, list)) => Ok(list.next_update().map(|at| at.timestamp())),
        Err(error) => Err(format!("no revocation list ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            common: vec!["engine-a".to_owned()],
            dns: vec!["engine.example".to_owned(), "*.wild.example".to_owned()],
            ip: vec![[10, 0, 0, 1].into()],
            uri: vec!["urn:engine:a".to_owned()],
        }
    }

    #[test]
    fn a_certificate_is_allowed_where_it_carries_a_listed_name_exactly() {
        let cn = |name: &str| SubjectRule::CommonName(name.to_owned());
        let dns = |name: &str| SubjectRule::Dns(name.to_owned());
        for (rule, allowed) in [
            (cn("engine-a"), true),
            (cn("Engine-A"), false),
            (cn("engine"), false),
            (cn("engine-a "), false),
            // A common name is no DNS name, and the other way round.
            (cn("engine.example"), false),
            (dns("engine-a"), false),
            (dns("engine.example"), true),
            (dns("a.engine.example"), false),
            (dns("x.wild.example"), false),
            (SubjectRule::Ip([10, 0, 0, 1].into()), true),
            (SubjectRule::Ip([10, 0, 0, 2].into()), false),
            (SubjectRule::Uri("urn:engine:a".to_owned()), true),
            (SubjectRule::Uri("urn:engine:A".to_owned()), false),
        ] {
            assert_eq!(names().allowed(std::slice::from_ref(&rule)), allowed, "{rule:?}");
        }
        assert!(names().allowed(&[cn("x"), dns("engine.example")]), "one is enough");
        assert!(names().allowed(&[]), "an empty list is anyone");
        assert!(!Names::default().allowed(&[cn("")]), "no names match nothing");
    }

    #[test]
    fn names_and_dates_are_read_from_a_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let pki = standin::Pki::create(dir.path()).unwrap();
        let chain = super::super::certificates(&pki.server.cert).unwrap();
        let names = Names::of(&chain[0]);
        assert_eq!(names.common, ["server"]);
        assert_eq!(names.dns, ["localhost"]);
        assert_eq!(names.ip, [IpAddr::from([127, 0, 0, 1])]);
        let left_s = not_after(&chain[0]).unwrap() - crate::time::now_ms() / 1000;
        let days = i64::from(standin::pki::VALID_DAYS);
        assert!(((days - 1) * 86_400..=days * 86_400).contains(&left_s), "{left_s}");
        assert_eq!(Names::of(&CertificateDer::from(vec![0x30, 0x00])), Names::default());
    }

    #[test]
    fn what_is_shown_of_a_name_is_short_and_forges_no_line() {
        let shown = |name: &str| Names { common: vec![name.to_owned()], ..Names::default() }.shown();
        assert_eq!(shown("a\nb\u{202e}"), "CN=a\\x0Ab\\u{202e}");
        assert_eq!(shown(&"x".repeat(500)).len(), SHOWN_CHARS);
    }
}
