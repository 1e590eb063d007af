//! `report.html`: one file without a script or an address of anybody's, for the screen and for A4 and Letter.
//!
//! The first page is for who decides, the tables after it for who looks closer. What a status is, is said in words and never
//! by colour alone.

use std::fmt::Write as _;

use super::Report;
use crate::{
    onboarding::playbook::{Finding, Status, Step},
    report::page::markup::Text,
};

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(report: &Report<'_>) -> String {
    let mut out = String::with_capacity(32 * 1024);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>EHR acceptance report: {site}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        site = Text(report.site)
    );
    summary(&mut out, report);
    overview(&mut out, report);
    left(&mut out, report);
    evidence(&mut out, report);
    signature(&mut out, report);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn summary(out: &mut String, report: &Report<'_>) {
    let (failed, passed) = (report.count(Status::Failed), report.count(Status::Passed));
    let (class, verdict) = if report.passed() { ("passed", "Passed") } else { ("failed", "Not passed") };
    let told = match (report.passed(), failed) {
        (true, _) => format!(
            "All {passed} checks that apply passed{}. Those that do not apply say why.",
            proved(report)
        ),
        (false, 0) => "Nothing could be written, so nothing is proved: see why below.".to_owned(),
        (false, 1) => {
            "One check failed. Do not go live before it is resolved; what to do is said beside it.".to_owned()
        }
        (false, failed) => format!(
            "{failed} checks failed. Do not go live before they are resolved; what to do is said beside each."
        ),
    };
    let _ = write!(
        out,
        "<header>\n<p class=\"kind\">EHR acceptance report</p>\n<h1>{site}</h1>\n</header>\n\
         <section class=\"verdict {class}\" aria-label=\"Result\">\n<p class=\"word\">{verdict}</p>\n<p>{told}</p>\n",
        site = Text(report.site),
    );
    if let Some(only) = report.only {
        let _ = writeln!(out, "<p><strong>Only the step {} was asked for.</strong></p>", Text(only));
    }
    let _ = write!(
        out,
        "</section>\n<dl class=\"facts\">\n<div><dt>Passed</dt><dd>{passed}</dd></div>\
         <div><dt>Failed</dt><dd>{failed}</dd></div><div><dt>Not applicable</dt><dd>{left}</dd></div>\
         <div><dt>Made at</dt><dd>{began}</dd></div><div><dt>Took</dt><dd>{took} s</dd></div>\
         <div><dt>Mode in the site's file</dt><dd>{mode}</dd></div>\
         <div class=\"wide\"><dt>EHR</dt><dd>{url}</dd></div><div class=\"wide\"><dt>Its software, as it says</dt><dd>{software}</dd></div>\
         <div class=\"wide\"><dt>Test patient</dt><dd>an identifier of {system}; the value is not in this report</dd></div>\
         <div class=\"wide\"><dt>Isthmus</dt><dd>{version}, configuration {configuration}</dd></div>\n</dl>\n",
        left = report.count(Status::NotApplicable),
        began = Text(report.began),
        took = report.took_s,
        mode = Text(report.mode),
        url = Text(report.base_url),
        software = Text(if report.software.is_empty() { "not stated" } else { report.software }),
        system = Text(report.patient_system),
        version = Text(report.version),
        configuration = Text(report.configuration.get(..16).unwrap_or(report.configuration)),
    );
}

/// What a whole trial shows, of what was tried: nothing is claimed of a step that was left out.
fn proved(report: &Report<'_>) -> String {
    let claims = [
        (Step::Write, "results are taken"),
        (Step::ReadBack, "stand there unchanged"),
        (Step::Resend, "are not written twice"),
    ];
    let passed = |step: Step| {
        report.findings.iter().any(|finding| finding.step == step && finding.status == Status::Passed)
    };
    let shown: Vec<&str> =
        claims.into_iter().filter(|(step, _)| passed(*step)).map(|(_, claim)| claim).collect();
    if shown.is_empty() { String::new() } else { format!(": {}", shown.join(", ")) }
}

fn status(finding: &Finding) -> String {
    let (class, mark) = match finding.status {
        Status::Passed => ("passed", "✓ passed"),
        Status::Failed => ("failed", "✗ FAILED"),
        Status::NotApplicable => ("none", "– not applicable"),
    };
    format!("<span class=\"status {class}\">{mark}</span>")
}

fn title(finding: &Finding) -> String {
    let form = finding.form.map(|form| format!(" <small>{}</small>", Text(form))).unwrap_or_default();
    format!("{}{form}", Text(finding.step.title()))
}

fn overview(out: &mut String, report: &Report<'_>) {
    out.push_str(
        "<section>\n<h2>Every check at a glance</h2>\n<table class=\"glance\">\n<thead><tr><th scope=\"col\">Check</th>\
         <th scope=\"col\">Result</th><th scope=\"col\">Why, and what to do</th></tr></thead>\n<tbody>\n",
    );
    let rank = |finding: &&Finding| match finding.status {
        Status::Failed => 0,
        Status::Passed => 1,
        Status::NotApplicable => 2,
    };
    let mut order: Vec<&Finding> = report.findings.iter().collect();
    order.sort_by_key(rank);
    for finding in order {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
            title(finding),
            status(finding),
            Text(&finding.why)
        );
    }
    out.push_str("</tbody>\n</table>\n</section>\n");
}

fn left(out: &mut String, report: &Report<'_>) {
    out.push_str("<section>\n<h2>What the trial left on the test patient's chart</h2>\n");
    let stands: Vec<_> = report.left.iter().filter(|left| left.state == "stands").collect();
    let back = report.left.len() - stands.len();
    if stands.is_empty() {
        let _ = writeln!(
            out,
            "<p>Nothing that counts. {back} resources were written and marked as entered in error.</p>\n</section>"
        );
        return;
    }
    let _ = write!(
        out,
        "<p>{back} resources were marked as entered in error. These {} stand: the analyst takes them back by hand.</p>\n\
         <table class=\"left\">\n<thead><tr><th scope=\"col\">Location</th><th scope=\"col\">Written by the check</th>\
         </tr></thead>\n<tbody>\n",
        stands.len()
    );
    for one in stands {
        let place = if one.location.is_empty() { "not told by the EHR" } else { &one.location };
        let _ =
            writeln!(out, "<tr><td class=\"place\">{}</td><td>{}</td></tr>", Text(place), one.step.name());
    }
    out.push_str("</tbody>\n</table>\n</section>\n");
}

fn evidence(out: &mut String, report: &Report<'_>) {
    out.push_str("<section class=\"evidence\">\n<h2>Evidence</h2>\n");
    for finding in report.findings {
        let _ = write!(
            out,
            "<table>\n<caption>{} {} <small class=\"id\">{}, {} ms</small></caption>\n<tbody>\n",
            status(finding),
            title(finding),
            finding.step.name(),
            finding.took_ms
        );
        let rows = [
            ("Sent", &finding.sent),
            ("Expected", &finding.expected),
            ("Came", &finding.came),
            ("Why", &finding.why),
        ];
        for (name, text) in rows.into_iter().filter(|(_, text)| !text.is_empty()) {
            let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", Text(text));
        }
        out.push_str("</tbody>\n</table>\n");
    }
    out.push_str("</section>\n");
}

fn signature(out: &mut String, report: &Report<'_>) {
    let _ = write!(
        out,
        "<section class=\"sign\">\n<h2>Signature</h2>\n<p>This page and report.json are named in report.sha256, which \
         report.sig signs (ECDSA on P-384 with SHA-384). Ask the box for its key by another way (isthmus site report-key) \
         and compare its fingerprint. To verify: <code>isthmus site verify-report FOLDER</code>, or without Isthmus \
         <code>openssl dgst -sha384 -verify KEY.pem -signature report.sig report.sha256 &amp;&amp; sha256sum -c \
         report.sha256</code>.</p>\n<p>Fingerprint (SHA-256) <code>{}</code></p>\n<pre>{}</pre>\n</section>\n",
        Text(report.fingerprint),
        report.public_key.lines().map(|line| Text(line).to_string()).collect::<Vec<_>>().join("\n"),
    );
}
