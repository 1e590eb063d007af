//! What the running daemon adds to a support bundle: sizes and counts of the store, the end of the audit log, the metrics.

use metrics_exporter_prometheus::PrometheusHandle;
use outbox::{ReadError, Reader, Readers, State, Writer};
use serde_json::{Value, json};

use super::standing::is_name;
use crate::{hex::hex, telemetry::Metric};

/// Answers the command.
pub fn document(readers: &Readers, writer: &Writer, prometheus: &PrometheusHandle) -> Value {
    let metrics = known_lines(&prometheus.render());
    match readers.with(|reader| store(reader, writer)) {
        Ok(store) => json!({ "store": store, "metrics": metrics }),
        Err(error) => json!({ "store": { "error": error.to_string() }, "metrics": metrics }),
    }
}

fn store(reader: &Reader, writer: &Writer) -> Result<Value, ReadError> {
    let (counts, pages, done) = (reader.counts()?, reader.pages()?, writer.counts());
    let head = reader.audit_head()?;
    let by_destination: Vec<Value> = counts
        .outbox
        .iter()
        .map(|(destination, state, rows)| json!({ "destination": destination, "state": state.name(), "rows": rows }))
        .collect();
    Ok(json!({
        "schema": outbox::SCHEMA_VERSION,
        "page_bytes": pages.bytes,
        "pages": pages.count,
        "free_pages": pages.free,
        "messages": counts.inbox_total,
        "windows_waiting": counts.windows_dirty,
        "writes_delivered": counts.rows(State::Delivered),
        "writes": by_destination,
        "audit_entries": head.entries,
        "audit_head": hex(&head.hash),
        "commits": done.groups,
        "failed_commits": done.failed,
        "reopened": done.reopened,
    }))
}

/// The lines of metrics that are members of the enum, and of their help. Of a label that is no name (an issuer's address) it
/// is told that there is one.
fn known_lines(text: &str) -> String {
    let is_known = |line: &&str| {
        let words = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        let name = words.split(['{', ' ']).next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        Metric::ALL.iter().any(|metric| metric.name() == name || Some(metric.name()) == base)
    };
    text.lines().filter(is_known).map(|line| named(line) + "\n").collect()
}

/// A line with the values of its labels where they are names.
fn named(line: &str) -> String {
    if line.starts_with('#') {
        return line.to_owned();
    }
    let mut told = String::with_capacity(line.len());
    for (at, part) in line.split('"').enumerate() {
        // Between quotes stands every second part; an escape is in no name.
        match at % 2 {
            0 => told.push_str(part),
            _ if is_name(part) || part == "+Inf" => told.push_str(&format!("\"{part}\"")),
            _ => told.push_str("\"(left out)\""),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_metrics_only_those_of_the_enum_go_in() {
        let text = "# HELP isthmus_outcomes_total x\n# TYPE isthmus_outcomes_total counter\nisthmus_outcomes_total 3\n\
                    isthmus_delivery_seconds_bucket{le=\"1\"} 2\n\
                    isthmus_fhir_issuer_key_fetches_total{issuer=\"https://id.example/Quibblethorpe\",outcome=\"fetched\"} 1\nother_total{name=\"Quibblethorpe\"} 1\n";
        let told = known_lines(text);
        assert_eq!(told.lines().count(), 5, "{told}");
        assert!(told.contains("_bucket{le=\"1\"} 2"), "{told}");
        assert!(told.contains("{issuer=\"(left out)\",outcome=\"fetched\"} 1"), "{told}");
        assert!(!told.contains("Quibblethorpe"));
    }
}
