//! One attempt to write one row: reconcile what is unknown, send the rest, read the answer.
//!
//! Invariants: what may have taken effect is looked for before it is sent again; a conditional create
//! that found something is compared with what we meant to write; an update carries the ETag we know; the
//! Bundle is checked against the destination's allow-list as the last thing before it leaves.

use std::collections::BTreeMap;

use clinical::fhir::{
    answer::{self, Answer as Body, EntryAnswer},
    bundle::{self, Entry},
    issue::{OperationOutcome, names_patient},
    location::Location,
    projection::minimize,
    readback::same_content,
};
use outbox::Written;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::http::{self, Told};
use crate::{
    destination::Destination,
    pipeline::resources::{Part, Write},
    verdict::{Answer, Attempt, Verdict, judge},
};

/// Rounds of one attempt: the write, and after a read-back or a conflict one more with what was learned.
const ROUNDS: usize = 2;
/// Longest fingerprint of a fault.
const FAULT_MAX_CHARS: usize = 120;

/// Where a resource stands at the destination.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its place.
    pub location: Location,
    /// Its ETag, where known.
    pub etag: Option<String>,
    /// SHA-256 of the part as it was written there by us, where that is known.
    pub content_hash: Option<[u8; 32]>,
}

/// What an attempt came to.
pub struct Outcome {
    /// What follows.
    pub verdict: Verdict,
    /// Where the resources stand now, where the verdict is delivered.
    pub written: Vec<Written>,
    /// Whether a write was answered: what was only looked up says nothing about permission.
    pub wrote: bool,
}

/// Writes one row. `standing` says by `urn:uuid:` what the ledger knows of its resources and of those
/// that they refer to; `ambiguous` that an earlier attempt may have taken effect.
pub async fn attempt(
    destination: &Destination,
    body: &[u8],
    standing: BTreeMap<String, Standing>,
    ambiguous: bool,
) -> Outcome {
    let Ok(write) = serde_json::from_slice::<Write>(body) else {
        return Outcome {
            verdict: Verdict::Data("the stored row is not readable".to_owned()),
            written: Vec::new(),
            wrote: false,
        };
    };
    let mut sending =
        Sending { destination, open: write.resources, standing, written: Vec::new(), wrote: false };
    let (verdict, written) = match sending.run(ambiguous).await {
        Ok(()) => (Verdict::Delivered, std::mem::take(&mut sending.written)),
        Err(verdict) => (verdict, Vec::new()),
    };
    Outcome { verdict, written, wrote: sending.wrote }
}

struct Sending<'a> {
    destination: &'a Destination,
    /// What is still to be written.
    open: Vec<Part>,
    standing: BTreeMap<String, Standing>,
    written: Vec<Written>,
    /// A write was answered.
    wrote: bool,
}

impl Sending<'_> {
    async fn run(&mut self, ambiguous: bool) -> Result<(), Verdict> {
        if ambiguous {
            self.reconcile().await?;
        } else {
            self.leave_out_unchanged();
        }
        for round in 1..=ROUNDS {
            if self.open.is_empty() {
                return Ok(());
            }
            match self.send().await {
                Err(Verdict::Conflict(_)) if round < ROUNDS => self.look_again().await?,
                other => other?,
            }
        }
        if self.open.is_empty() {
            return Ok(());
        }
        Err(Verdict::Conflict("another version stands at the destination".to_owned()))
    }

    /// Files what stands there already, by our own ledger: a new version of a window seldom changes all of
    /// its resources, and an update that says nothing new is noise in a chart's history.
    fn leave_out_unchanged(&mut self) {
        for part in std::mem::take(&mut self.open) {
            match self.standing.get(&part.full_url).cloned() {
                Some(standing) if standing.content_hash == Some(content_hash(&part)) => {
                    self.file(&part, &standing);
                }
                _ => self.open.push(part),
            }
        }
    }

    /// Looks for every resource; what stands there as we meant it is written already.
    async fn reconcile(&mut self) -> Result<(), Verdict> {
        for part in std::mem::take(&mut self.open) {
            let found = match self.standing.get(&part.full_url) {
                Some(standing) => self.read(&standing.location.clone()).await?,
                None => self.search(&part).await?,
            };
            self.compare(part, found);
        }
        Ok(())
    }

    /// After a conflict: what do the resources that we wanted to update look like now?
    async fn look_again(&mut self) -> Result<(), Verdict> {
        for part in std::mem::take(&mut self.open) {
            let found = match self.standing.get(&part.full_url) {
                Some(standing) => self.read(&standing.location.clone()).await?,
                None => None,
            };
            self.compare(part, found);
        }
        Ok(())
    }

    /// Files a part under written where the destination holds the same content, else under open, with
    /// what was learned of the place.
    fn compare(&mut self, part: Part, found: Option<(Value, Standing)>) {
        let Some((theirs, standing)) = found else {
            self.open.push(part);
            return;
        };
        let same = same_content(&self.resolved(&part), &theirs);
        self.standing.insert(part.full_url.clone(), standing.clone());
        if same { self.file(&part, &standing) } else { self.open.push(part) }
    }

    fn file(&mut self, part: &Part, standing: &Standing) {
        self.standing.insert(part.full_url.clone(), standing.clone());
        self.written.push(Written {
            identifier: part.full_url.clone(),
            location: standing.location.reference(),
            etag: standing.etag.clone(),
            content_hash: content_hash(part),
        });
    }

    /// The part with its references to resources that stand at the destination.
    fn resolved(&self, part: &Part) -> Value {
        let known = self.standing.iter().map(|(urn, at)| (urn.clone(), at.location.reference())).collect();
        let mut resource = part.resource.clone();
        // What is left unresolved is in the same Bundle.
        let _in_bundle = bundle::resolve(&mut resource, &known);
        resource
    }

    async fn send(&mut self) -> Result<(), Verdict> {
        let entries: Vec<Entry> = self.open.iter().map(|part| self.entry(part)).collect();
        let bundle = bundle::transaction(&entries);
        minimize(self.destination.projection, &bundle).map_err(|leak| Verdict::Data(leak.to_string()))?;
        let body = serde_json::to_vec(&bundle).map_err(|error| Verdict::Data(error.to_string()))?;
        let client = &self.destination.client;
        let told = match http::send(client, Method::POST, &self.destination.base_url, Some(body)).await {
            Ok(told) => told,
            Err(attempt) => return Err(judge(&attempt)),
        };
        self.wrote = true;
        let answers = match answer::read(&told.body) {
            Body::Entries(entries) => entries,
            _ => Vec::new(),
        };
        match judge(&Attempt::Answered(self.reduce(&told, &answers, entries.len()))) {
            Verdict::Delivered | Verdict::ReadBack => self.take(&entries, &answers).await,
            refusal => Err(refusal),
        }
    }

    fn entry(&self, part: &Part) -> Entry {
        let resource = self.resolved(part);
        let full_url = part.full_url.clone();
        match self.standing.get(&part.full_url) {
            Some(Standing { location, etag, .. }) => {
                Entry::Update { resource, full_url, location: location.clone(), etag: etag.clone() }
            }
            None => Entry::Create { resource, full_url, if_none_exist: Some(part.if_none_exist.clone()) },
        }
    }

    /// Files every entry of a positive answer; a conditional create that found something is read back.
    async fn take(&mut self, entries: &[Entry], answers: &[EntryAnswer]) -> Result<(), Verdict> {
        let parts = std::mem::take(&mut self.open);
        for ((part, entry), answer) in parts.into_iter().zip(entries).zip(answers) {
            let stated = answer.location.as_deref().and_then(Location::parse);
            let standing = match (stated, entry) {
                (Some(location), _) => Standing { location, etag: answer.etag.clone(), content_hash: None },
                (None, Entry::Update { location, .. }) => {
                    Standing { location: location.clone(), etag: answer.etag.clone(), content_hash: None }
                }
                (None, Entry::Create { .. }) => {
                    // Taken, and the server keeps to itself where: the next version has to search.
                    continue;
                }
            };
            let existed_before = matches!(entry, Entry::Create { .. }) && answer.status == Some(200);
            if !existed_before {
                self.file(&part, &standing);
                continue;
            }
            match self.read(&standing.location).await? {
                Some(found) => self.compare(part, Some(found)),
                // It cannot be read: the server found it by our own identifier, which is what we have.
                None => self.file(&part, &standing),
            }
        }
        Ok(())
    }

    /// Reads a resource. `None` where the destination does not show it.
    async fn read(&self, location: &Location) -> Result<Option<(Value, Standing)>, Verdict> {
        let url = format!("{}/{}", self.destination.base_url, location.reference());
        let told = self.get(&url).await?;
        let Some(told) = told else { return Ok(None) };
        let etag = told.etag.clone();
        Ok(Some((told.json(), Standing { location: location.clone(), etag, content_hash: None })))
    }

    /// Searches by the same query that a conditional create uses.
    async fn search(&self, part: &Part) -> Result<Option<(Value, Standing)>, Verdict> {
        let kind = part.resource["resourceType"].as_str().unwrap_or_default();
        let url = format!("{}/{kind}?{}", self.destination.base_url, part.if_none_exist.replace('|', "%7C"));
        let Some(told) = self.get(&url).await? else { return Ok(None) };
        let bundle = told.json();
        let found = bundle["entry"].as_array().and_then(|entries| {
            entries.iter().map(|entry| &entry["resource"]).find(|resource| resource["resourceType"] == kind)
        });
        let Some(resource) = found else { return Ok(None) };
        let Some(location) = resource["id"].as_str().and_then(|id| Location::parse(&format!("{kind}/{id}")))
        else {
            return Ok(None);
        };
        let etag = resource["meta"]["versionId"].as_str().map(|version| format!("W/\"{version}\""));
        Ok(Some((resource.clone(), Standing { location, etag, content_hash: None })))
    }

    /// A read; `None` where the destination says no to it or has nothing there. While it cannot be asked,
    /// what is unknown stays unknown.
    async fn get(&self, url: &str) -> Result<Option<Told>, Verdict> {
        match http::send(&self.destination.client, Method::GET, url, None).await {
            Ok(told) if told.status == 200 => Ok(Some(told)),
            Ok(told) if matches!(told.status, 429 | 500..=599) => {
                Err(Verdict::Ambiguous(format!("HTTP {} when reading back", told.status)))
            }
            Ok(_) => Ok(None),
            Err(Attempt::Unsent(cause) | Attempt::Lost(cause)) => {
                Err(Verdict::Ambiguous(format!("reading back: {cause}")))
            }
            Err(Attempt::Answered(_)) => Ok(None),
        }
    }

    /// The answer without what could be patient data.
    fn reduce(&self, told: &Told, answers: &[EntryAnswer], sent: usize) -> Answer {
        let whole = OperationOutcome::read(&told.json());
        let of_entries = answers.iter().filter(|answer| answer.status.is_none_or(|status| status >= 300));
        let outcomes: Vec<&OperationOutcome> =
            whole.iter().chain(of_entries.filter_map(|answer| answer.outcome.as_ref())).collect();
        let identifier = self
            .open
            .iter()
            .find_map(|part| part.resource["subject"]["identifier"]["value"].as_str())
            .unwrap_or("");
        Answer {
            status: told.status,
            entries: answers.iter().map(|answer| answer.status.unwrap_or(0)).collect(),
            sent,
            retry_after: told.retry_after,
            names_patient: outcomes.iter().any(|outcome| names_patient(outcome, identifier)),
            fault: outcomes.first().map(|outcome| fingerprint(outcome)).unwrap_or_default(),
        }
    }
}

fn content_hash(part: &Part) -> [u8; 32] {
    Sha256::digest(part.resource.to_string().as_bytes()).into()
}

/// Issue code, detail code and expression: closed words and paths, cut to what can be neither name nor
/// number of a patient (digits go, except behind a bracket's place in a list).
fn fingerprint(outcome: &OperationOutcome) -> String {
    let Some(issue) = outcome.issues.first() else { return String::new() };
    let words = [
        issue.code.as_str(),
        issue.details_code.as_str(),
        issue.expression.first().map_or("", String::as_str),
    ];
    let kept = |c: &char| c.is_ascii_alphabetic() || matches!(c, '.' | '-' | '_' | '[' | ']');
    let words: Vec<String> = words
        .iter()
        .map(|word| word.chars().filter(kept).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(FAULT_MAX_CHARS).collect()
}
