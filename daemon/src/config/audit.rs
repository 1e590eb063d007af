//! `[audit]`: where entries of the audit log are sent.

use std::path::PathBuf;

use super::{section::Section, transport::ClientTls};
use crate::outbound::Address;

/// `[audit] syslog`: a collector that takes syslog messages over TLS (RFC 5425).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSyslog {
    /// The collector.
    pub address: Address,
    /// Who may sign the collector's certificate, and what we show where the collector wants to know who sends.
    pub tls: ClientTls,
}

/// Reads `[audit]`; `None` where nothing is sent.
pub(super) fn read_audit(root: &Section<'_>) -> Option<AuditSyslog> {
    root.table("audit", |audit| {
        audit
            .require("syslog", "syslog = { address = \"siem.hospital.example:6514\", ca = \"siem-ca.pem\" }");
        audit.table("syslog", |syslog| {
            syslog.require("address", "address = \"siem.hospital.example:6514\"");
            syslog.require("ca", "ca = \"siem-ca.pem\"");
            let address = read_address(syslog);
            let ca = syslog.certificates("ca", "\"siem-ca.pem\"");
            let shown = read_shown(syslog)?;
            let (address, ca) = (address?, ca?);
            syslog.can_connect(&ca, shown.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path())))?;
            Some(AuditSyslog { address, tls: ClientTls { ca, shown } })
        })
    })
}

fn read_address(section: &Section<'_>) -> Option<Address> {
    let text = section.text("address", "\"siem.hospital.example:6514\"")?;
    let address = Address::parse(text).ok();
    if address.is_none() {
        let instead =
            "write address = \"siem.hospital.example:6514\", \"10.1.2.3:6514\" or \"[fd00::5]:6514\"";
        section.fault("address", "is no host with a port", instead);
    }
    address
}

/// `cert` and `key`, both or neither; `None` where there is a fault.
pub(super) fn read_shown(section: &Section<'_>) -> Option<Option<(PathBuf, PathBuf)>> {
    let (with_cert, with_key) = (section.has("cert"), section.has("key"));
    let cert = section.certificates("cert", "\"box.pem\"");
    let key = section.private_key("key", "\"box.key\"");
    if with_cert != with_key {
        let alone = if with_cert { "cert" } else { "key" };
        section.fault(alone, "stands alone", "write cert = \"box.pem\" and key = \"box.key\", or neither");
        return None;
    }
    if with_cert { Some(Some((cert?, key?))) } else { Some(None) }
}
