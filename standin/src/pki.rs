//! Certificates made on the spot: one CA, a server for the loopback, and clients, as PEM in a folder.
//!
//! Numbers: P-256 keys, valid from yesterday for [`VALID_DAYS`]; private keys are written with mode
//! 0600 into a file that did not exist. The CA's own key never touches the disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rand::RngExt;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use thiserror::Error;

/// How long the certificates hold: longer than any demo, short enough to be useless afterwards.
pub const VALID_DAYS: i32 = 60;

/// Why certificates could not be made.
#[derive(Debug, Error)]
pub enum PkiError {
    /// The cryptographic library refused (never seen with the fixed parameters used here).
    #[error("a certificate could not be made")]
    Make(#[from] rcgen::Error),
    /// A file could not be written: the folder is missing or not writable, or the file exists already.
    #[error("{path} could not be written")]
    Write {
        /// The file in question.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A certificate and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key, PKCS#8, mode 0600.
    pub key: PathBuf,
    /// Its serial number, by which it can be revoked.
    pub serial: u64,
}

/// How long a certificate or a list holds, in days from today.
#[derive(Debug, Clone, Copy)]
struct Days {
    from: i32,
    until: i32,
}

/// From yesterday for [`VALID_DAYS`].
const NOW: Days = Days { from: -1, until: VALID_DAYS };
/// Over since yesterday.
const PAST: Days = Days { from: -20, until: -1 };

/// A CA with the identities it has issued into one folder.
pub struct Pki {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// The CA's certificate, `ca.pem`.
    pub ca: PathBuf,
    /// For `127.0.0.1` and `localhost`: `server.pem`, `server.key`.
    pub server: Identity,
    /// For a client: `client.pem`, `client.key`.
    pub client: Identity,
}

impl Pki {
    /// Makes a CA and one server and one client identity, as files in `dir`, which must exist.
    ///
    /// # Errors
    /// [`PkiError::Write`] when a file cannot be created; existing files are never overwritten.
    pub fn create(dir: &Path) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        name_and_date(&mut params, "Stand-in CA", NOW);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        let ca = dir.join("ca.pem");
        write_new(&ca, &certificate.pem(), 0o644)?;
        let issuer = Issuer::new(params, key);

        let loopback = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = issue(dir, &issuer, "server", loopback, ExtendedKeyUsagePurpose::ServerAuth, NOW)?;
        let names = vec!["client".to_owned()];
        let client = issue(dir, &issuer, "client", names, ExtendedKeyUsagePurpose::ClientAuth, NOW)?;
        Ok(Self { dir: dir.to_owned(), issuer, ca, server, client })
    }

    /// Issues one more client identity, `{name}.pem` and `{name}.key`, for a rotation for example.
    ///
    /// # Errors
    /// [`PkiError::Write`] when a file of that name exists or cannot be written.
    pub fn issue_client(&self, name: &str) -> Result<Identity, PkiError> {
        let names = vec![name.to_owned()];
        issue(&self.dir, &self.issuer, name, names, ExtendedKeyUsagePurpose::ClientAuth, NOW)
    }

    /// Issues a client identity whose certificate ended yesterday.
    ///
    /// # Errors
    /// As [`issue_client`](Self::issue_client).
    pub fn issue_expired_client(&self, name: &str) -> Result<Identity, PkiError> {
        let names = vec![name.to_owned()];
        issue(&self.dir, &self.issuer, name, names, ExtendedKeyUsagePurpose::ClientAuth, PAST)
    }

    /// Issues one more server identity for the loopback.
    ///
    /// # Errors
    /// As [`issue_client`](Self::issue_client).
    pub fn issue_server(&self, name: &str) -> Result<Identity, PkiError> {
        let loopback = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        issue(&self.dir, &self.issuer, name, loopback, ExtendedKeyUsagePurpose::ServerAuth, NOW)
    }

    /// A revocation list of this CA, as PEM: the identities it revokes, and whether its time is over.
    ///
    /// # Errors
    /// [`PkiError::Make`].
    pub fn revocation_list(&self, revoked: &[&Identity], expired: bool) -> Result<String, PkiError> {
        let days = if expired { PAST } else { NOW };
        let [from, until] = [days.from, days.until].map(|days| {
            let (year, month, day) = calendar(days);
            rcgen::date_time_ymd(year, month, day)
        });
        let revoked_certs = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial),
            revocation_time: from,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: from,
            next_update: until,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

fn issue(
    dir: &Path,
    issuer: &Issuer<'static, KeyPair>,
    name: &str,
    subject_alt_names: Vec<String>,
    purpose: ExtendedKeyUsagePurpose,
    days: Days,
) -> Result<Identity, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(subject_alt_names)?;
    name_and_date(&mut params, name, days);
    // Positive, and no leading zero (RFC 5280, section 4.1.2.2).
    let serial = rand::rng().random_range(1 << 56..1 << 62);
    params.serial_number = Some(SerialNumber::from(serial));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer)?;
    let (cert, key_file) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    let identity = Identity { cert, key: key_file, serial };
    write_new(&identity.cert, &certificate.pem(), 0o644)?;
    write_new(&identity.key, &key.serialize_pem(), 0o600)?;
    Ok(identity)
}

fn name_and_date(params: &mut CertificateParams, common_name: &str, days: Days) {
    params.distinguished_name.push(DnType::CommonName, common_name);
    [params.not_before, params.not_after] = [days.from, days.until].map(|days| {
        let (year, month, day) = calendar(days);
        rcgen::date_time_ymd(year, month, day)
    });
}

/// Year, month and day of the date so many days from today.
fn calendar(days: i32) -> (i32, u8, u8) {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = today.saturating_add(days.days());
    (i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs())
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let attempt = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    attempt().map_err(|source| PkiError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn private_keys_are_readable_by_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::create(dir.path()).unwrap();
        for key in [&pki.server.key, &pki.client.key] {
            assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn an_existing_key_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::create(dir.path()).unwrap();
        let before = std::fs::read(&first.client.key).unwrap();
        assert!(matches!(Pki::create(dir.path()), Err(PkiError::Write { .. })));
        assert!(matches!(first.issue_client("client"), Err(PkiError::Write { .. })));
        assert_eq!(std::fs::read(&first.client.key).unwrap(), before);
    }
}
