//! Who the test patient is at the EHR.

use crate::{
    config::SubjectForm,
    delivery::ehr_patient::{self, Found},
    onboarding::{
        playbook::{Finding, Step},
        run::Run,
    },
};

pub(super) async fn patient(run: &mut Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::Patient,
        "a search of Patient by the identifier that was named",
        "exactly one Patient, born on the day that --born says",
    );
    let lookup = run.destination.subject == SubjectForm::Lookup;
    if run.destination.subject == SubjectForm::Pseudonym {
        run.ready = true;
        return finding.left_out("the site knows patients by a pseudonym alone");
    }
    let found = match ehr_patient::search(&run.destination, &run.asked.key).await {
        Ok(found) => found,
        Err(verdict) => {
            return finding.judged(
                false,
                format!("no answer to the search ({})", verdict.word()),
                "see the steps before this one",
            );
        }
    };
    let (birth, reference) = match found {
        Found::One { birth, reference } => (birth, reference),
        Found::Several => {
            return finding.judged(false, "several Patients", "name a test patient with one chart");
        }
        Found::Nobody => {
            let why = "check system and value with the analyst; the system is the one in [patient] of the site's file";
            return finding.judged(false, "no Patient", why);
        }
        Found::Hidden if lookup => {
            let why = "without the search nothing can be written under subject = \"lookup\": ask for read and search of \
                       Patient";
            return finding.judged(false, "the search is not permitted, or not understood", why);
        }
        Found::Hidden => {
            run.ready = true;
            return finding.left_out("the EHR does not let us search Patient; resources name the identifier");
        }
    };
    if lookup && reference.is_none() {
        return finding.judged(
            false,
            "one Patient, without a usable id",
            "ask the analyst how ids look there",
        );
    }
    let (agrees, came) = match &birth {
        Some(theirs) if run.asked.born.agrees(theirs) => (true, "one Patient; the birth date agrees"),
        Some(_) => (false, "one Patient; the birth date DIFFERS"),
        None => (true, "one Patient; the EHR shows no birth date"),
    };
    run.ready = agrees;
    run.seat.subject = reference.filter(|_| lookup);
    let why = match agrees {
        true => "the patient that is meant is the patient that is found",
        false => {
            "this may be another person: nothing is written; check identifier and birth date with the analyst"
        }
    };
    finding.judged(agrees, came, why)
}

pub(super) async fn encounter(run: &mut Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::Encounter,
        "a search of Encounter by the patient",
        "an encounter in progress, or one that has begun",
    );
    if !run.ways().iter().any(|way| way.form.encounter) {
        return finding.left_out("no form of the site asks for an encounter");
    }
    let Some(patient) = run.seat.subject.clone().filter(|_| run.ready) else {
        return finding.left_out(super::NOBODY);
    };
    match ehr_patient::encounter(&run.destination, &patient, jiff::Timestamp::now()).await {
        Ok(Some(encounter)) => {
            run.seat.encounter = Some(encounter);
            finding.judged(true, "an encounter to write under", "results are filed under it")
        }
        Ok(None) => {
            run.ready = false;
            let why =
                "ask the analyst to open an encounter for the test patient, and for search of Encounter";
            finding.judged(false, "none that can be used", why)
        }
        Err(verdict) => {
            run.ready = false;
            finding.judged(false, format!("no answer ({})", verdict.word()), "see the steps before this one")
        }
    }
}
