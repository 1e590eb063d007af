//! Windows and units at which software errs: the leap day, the change of the clock, the other unit of glucose.

use clinical::fhir::{projection::Projection, summary::MeanUnit};

use super::{NOBODY, write};
use crate::{
    destination::Way,
    onboarding::{
        playbook::{Finding, Step},
        run::Run,
        specimen::Window,
    },
    verdict::Verdict,
};

pub(super) async fn edge(run: &mut Run<'_>, step: Step) -> Vec<Finding> {
    let (sent, expected) = match step {
        Step::Units => (
            "the outcome in the other unit of glucose than the site's file names",
            "it stands as it was sent, or is refused",
        ),
        Step::LeapDay => {
            ("the outcome of a window that ends on 29 February 2024", "it stands as it was sent")
        }
        _ => (
            "the outcome of a window that ends on the day of a change of the clock",
            "it stands as it was sent",
        ),
    };
    let mut findings = Vec::new();
    for way in run.ways() {
        let finding = Finding::new(step, sent, expected).of(way.projection.name());
        let window = match step {
            Step::LeapDay => Window::LeapDay,
            Step::ClockChange => Window::ClockChange,
            _ => Window::Ordinary(run_chance(run)),
        };
        let way = if step == Step::Units { other_unit(&way) } else { Some(way) };
        findings.push(match way {
            None => finding.left_out("this form's rows decide about the unit, or it has text alone"),
            Some(_) if !run.ready => finding.left_out(NOBODY),
            Some(way) => one(run, &way, window, finding).await,
        });
    }
    if findings.is_empty() {
        findings.push(Finding::new(step, sent, expected).left_out("no form is written to this EHR"));
    }
    findings
}

/// Another day than that of the ordinary window: where no identifier is kept, the two must not be taken for one.
fn run_chance(run: &Run<'_>) -> u16 {
    u16::from_be_bytes([run.asked.chance[0], run.asked.chance[1]]).wrapping_add(90) % 180
}

fn other_unit(way: &Way) -> Option<Way> {
    use Projection::{CgmIg, MillenniumLab, PlainR4, PlainR5};
    if !matches!(way.projection, CgmIg | PlainR4 | PlainR5 | MillenniumLab) {
        return None;
    }
    let other = match way.form.glucose {
        MeanUnit::Mass => MeanUnit::Molar,
        MeanUnit::Molar => MeanUnit::Mass,
    };
    let form = way.form.clone().in_unit(other);
    form.faults(way.projection).is_empty().then(|| Way { form, ..way.clone() })
}

async fn one(run: &mut Run<'_>, way: &Way, window: Window, finding: Finding) -> Finding {
    let rows = match run.rows(way, window) {
        Ok(rows) => rows,
        Err(why) => return finding.left_out(why),
    };
    let step = finding.step;
    let done = run.deliver(way, &rows, false).await;
    run.leave_all(step, &done);
    match &done.refused {
        Some(Verdict::Data(_) | Verdict::Configuration(_)) if step == Step::Units => {
            return finding.judged(
                true,
                write::told(&done),
                "the EHR refuses the other unit rather than mix them up: leave glucose_unit as it is",
            );
        }
        Some(verdict) => return finding.judged(false, write::told(&done), write::advice(verdict)),
        None => {}
    }
    let (pairs, hidden) = write::read_back(run, way, &rows, &done.standing).await;
    if hidden.is_some() || pairs.is_empty() {
        return finding.left_out("it was taken and cannot be read back: see the step about reading back");
    }
    write::judge_content(finding, way, &pairs)
}
