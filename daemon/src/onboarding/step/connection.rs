//! The connection, what the EHR states, and the token.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    onboarding::{
        playbook::{Finding, Step},
        probe,
        proposal::{Told, propose},
        run::Run,
    },
    smart::{
        key_ring::{addressed, whose},
        skew::Skew,
    },
    time, tls,
};

/// A certificate that ends within these days is told, so that nobody goes live with it.
const SOON_DAYS: i64 = 30;
const DAY_S: i64 = 86_400;

pub(super) async fn reach(run: &Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::Reach,
        "a TLS handshake with the address in base_url",
        "TLS 1.2 or 1.3, and a certificate that our CA file vouches for",
    );
    match shake(run).await {
        Err(why) => {
            let advice = "check base_url, the firewall, and [ehr.tls] ca with who runs the EHR's gateway";
            finding.judged(false, why, advice)
        }
        Ok((version, ends_s)) => {
            let left = (ends_s - time::now_ms() / 1_000).div_euclid(DAY_S);
            let date = time::rfc3339(ends_s.saturating_mul(1_000));
            let why = match left {
                ..=SOON_DAYS => {
                    format!("the EHR's certificate ends in {left} days: have it renewed before going live")
                }
                _ => format!("the EHR's certificate ends in {left} days"),
            };
            finding.judged(true, format!("{version}; the EHR's certificate ends {date}"), why)
        }
    }
}

/// The version spoken, and the end of the EHR's certificate in seconds UTC.
async fn shake(run: &Run<'_>) -> Result<(&'static str, i64), String> {
    let url = reqwest::Url::parse(&run.ehr.base_url).map_err(|_| "base_url is no address")?;
    let host = url.host_str().ok_or("base_url names no host")?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let files =
        run.ehr.tls.as_ref().ok_or("the site takes messages alone; there is no FHIR server to try")?;
    let config = tls::client_config(files).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.clone()).map_err(|_| "the host's name is none")?;
    let shaking = async {
        let stream = TcpStream::connect((host, port)).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let stream = timeout(run.destination.delivery.connect_timeout, shaking)
        .await
        .map_err(|_| "no answer within connect_timeout".to_owned())?
        .map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => "the certificate is not accepted".to_owned(),
            Some(_) => "the TLS handshake failed".to_owned(),
            None => error.kind().to_string(),
        })?;
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => return Err("an unknown version of TLS was agreed".to_owned()),
    };
    let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or("no certificate was shown")?;
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| "its certificate cannot be read")?;
    Ok((version, parsed.validity().not_after.timestamp()))
}

pub(super) async fn statement(run: &mut Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::Statement,
        "GET /metadata",
        "a CapabilityStatement that contradicts nothing of the site's file",
    );
    match probe::statement(&run.destination).await {
        Err(why) => finding.judged(false, why, "ask the EHR's analyst for the address of its FHIR endpoint"),
        Ok(statement) => {
            let told = Told { statement: &statement, smart: None, granted: None };
            let proposal = propose(run.site, &run.destination, &told);
            let against: Vec<String> = proposal
                .compared
                .iter()
                .filter(|one| one.agreement == crate::onboarding::proposal::Agreement::Contradicts)
                .map(|one| one.what.clone())
                .collect();
            let came = format!("{} comparisons, {} contradict", proposal.compared.len(), against.len());
            let why = match against.is_empty() {
                true => "what it states and what the file says go together".to_owned(),
                false => format!("{}: run isthmus site probe {}", against.join("; "), run.site.id),
            };
            run.statement = Some(statement);
            finding.judged(against.is_empty(), came, why)
        }
    }
}

pub(super) async fn token(run: &Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::Token,
        "a signed request for a token (SMART Backend Services)",
        "a token with every scope that is asked for, and a clock within a quarter of an hour of ours",
    );
    let prepared = run.destination.client.prepare().await;
    let Some(tokens) = run.destination.client.authorizer() else {
        return finding.left_out("the site's file has no [ehr.auth]: the certificate proves us");
    };
    let standing = tokens.standing();
    if let Err(attempt) = prepared {
        let advice = standing.trouble.as_ref().map(|(trouble, _)| trouble.advice()).unwrap_or_default();
        let advice = addressed(&advice, &whose(&run.destination.id));
        return finding.judged(false, format!("no token: {}", probe::words(&attempt)), advice);
    }
    let lives = standing.left.map_or(0, |left| left.as_secs());
    let skew = standing.skew.measured_s().map_or("unknown".to_owned(), |s| format!("{s} s ahead of ours"));
    let granted = standing.asked.len().saturating_sub(standing.missing.len());
    let came = format!(
        "a token used for {lives} s; {granted} of {} scopes; the EHR's clock is {skew}",
        standing.asked.len()
    );
    if !standing.missing.is_empty() {
        let why = format!("not granted: {}; ask the analyst to grant it", standing.missing.join(" "));
        return finding.judged(false, came, why);
    }
    let far = matches!(standing.skew, Skew::TooLarge(_));
    let why =
        if far { "set the clocks right: assertions will be refused" } else { "all that is asked is granted" };
    finding.judged(!far, came, why)
}
