use super::*;
use crate::fhir::{
    projection::{Projection::*, ProvenanceForm},
    sample::mapped,
};

#[test]
fn the_default_of_every_projection_is_sound_but_for_what_only_the_site_knows() {
    for projection in Projection::ALL {
        let expected = match projection {
            EpicFlowsheet => vec![FormFault::NoRows],
            OruR01 => vec![FormFault::Authority],
            _ => vec![],
        };
        assert_eq!(Form::of(projection).faults(projection), expected, "{projection:?}");
        assert_eq!(mapped(projection).faults(projection), [], "{projection:?}");
    }
}

#[test]
fn every_fault_is_found_and_named_by_its_key() {
    let lab = || mapped(MillenniumLab);
    let row = |row: Row| lab().row(row).unwrap().clone();
    let with_rows = |rows: Vec<RowCode>| Form { rows, ..lab() };
    let coding = |code: &str| Coding { system: "urn:x".into(), code: code.into() };
    let table = [
        (MillenniumLab, Form { release: Release::R5, ..lab() }, FormFault::Release),
        (PlainR5, Form { release: Release::R4, ..mapped(PlainR5) }, FormFault::Release),
        (MillenniumLab, Form { category_system: CategorySystem::Old, ..lab() }, FormFault::Category),
        (
            EpicFlowsheet,
            Form { category: Category::Laboratory, ..mapped(EpicFlowsheet) },
            FormFault::Category,
        ),
        (MillenniumLab, Form { time: TimeForm::Period, ..lab() }, FormFault::Time),
        (CgmIg, Form { time: TimeForm::DateTime, ..mapped(CgmIg) }, FormFault::Time),
        (MillenniumLab, Form { statuses: vec![], ..lab() }, FormFault::Statuses),
        (MillenniumLab, Form { statuses: vec![Status::Amended], ..lab() }, FormFault::Statuses),
        (
            EpicFlowsheet,
            Form { statuses: vec![Status::Final, Status::Amended], ..mapped(EpicFlowsheet) },
            FormFault::Statuses,
        ),
        (MillenniumLab, with_rows(vec![]), FormFault::NoRows),
        (EpicNote, Form { rows: lab().rows, ..mapped(EpicNote) }, FormFault::Rows),
        (
            MillenniumLab,
            with_rows(vec![row(Row::Gmi), RowCode { coding: coding("1"), ..row(Row::Gmi) }]),
            FormFault::RowTwice(Row::Gmi),
        ),
        (
            MillenniumLab,
            with_rows(vec![row(Row::Gmi), RowCode { row: Row::Cv, ..row(Row::Gmi) }]),
            FormFault::CodeTwice(Row::Cv),
        ),
        (
            MillenniumLab,
            with_rows(vec![RowCode { coding: coding("a b"), ..row(Row::Gmi) }]),
            FormFault::Code(Row::Gmi),
        ),
        (
            MillenniumLab,
            with_rows(vec![RowCode { coding: coding(""), ..row(Row::Gmi) }]),
            FormFault::Code(Row::Gmi),
        ),
        (
            MillenniumLab,
            with_rows(vec![RowCode { unit: UnitText::of("mg/dL"), ..row(Row::Gmi) }]),
            FormFault::Unit(Row::Gmi),
        ),
        (
            MillenniumLab,
            with_rows(vec![RowCode { as_text: true, ..row(Row::Gmi) }]),
            FormFault::Text(Row::Gmi),
        ),
        (
            MillenniumLab,
            with_rows(vec![RowCode { unit: UnitText::of("mmol/L"), ..row(Row::Mean) }]),
            FormFault::MeanCode(Row::Mean),
        ),
        (MillenniumLab, Form { glucose: MeanUnit::Molar, ..lab() }, FormFault::MeanCode(Row::Mean)),
        (CgmIg, Form { metrics: vec![Metric::Gmi], ..mapped(CgmIg) }, FormFault::Members),
        (PlainR4, Form { metrics: vec![Metric::MeanMolar], ..mapped(PlainR4) }, FormFault::MemberNamed),
        (PlainR4, Form { metrics: vec![Metric::Summary], ..mapped(PlainR4) }, FormFault::MemberNamed),
        (MillenniumLab, Form { performer: Some("Patient/1".into()), ..lab() }, FormFault::Performer),
        (
            UpstreamSummary,
            Form { performer: Some("Practitioner/1".into()), ..mapped(UpstreamSummary) },
            FormFault::Performer,
        ),
        (MillenniumLab, Form { category: Category::VitalSigns, ..lab() }, FormFault::NoPerformer),
        (UpstreamSummary, Form { encounter: true, ..mapped(UpstreamSummary) }, FormFault::Encounter),
        (MillenniumLab, Form { longest_id: 0, ..lab() }, FormFault::LongestId),
        (EpicNote, Form { local_codes: true, ..mapped(EpicNote) }, FormFault::LocalCodes),
        (CgmIg, Form { dates: Dates::Month, provenance: false, ..mapped(CgmIg) }, FormFault::Dates),
        (
            UpstreamSummary,
            Form { dates: Dates::Month, ..mapped(UpstreamSummary) },
            FormFault::ProvenanceWithMonths,
        ),
        (MillenniumLab, Form { days: Some(0), ..lab() }, FormFault::Days),
        (EpicNote, Form { provenance: true, ..mapped(EpicNote) }, FormFault::Provenance),
        (EpicNote, Form { document: coding(""), ..mapped(EpicNote) }, FormFault::Document),
        (OruR01, with(|postal| postal.processing = 'X'), FormFault::Processing),
        (OruR01, with(|postal| postal.authority.clear()), FormFault::Authority),
        (OruR01, with(|postal| postal.to.0 = "A\rB".into()), FormFault::Name),
    ];
    for (projection, form, fault) in table {
        assert_eq!(form.faults(projection), std::slice::from_ref(&fault), "{projection:?}");
        assert!(!fault.key().is_empty() && !fault.to_string().is_empty());
        assert_eq!(
            fault.row().is_some(),
            fault.key() == "rows" && !matches!(fault, FormFault::NoRows | FormFault::Rows)
        );
    }
}

fn with(change: impl FnOnce(&mut Postal)) -> Form {
    let mut form = mapped(OruR01);
    change(&mut form.postal);
    form
}

#[test]
fn an_id_fits_where_the_site_can_have_it() {
    let form = Form { longest_id: 4, ..Form::of(MillenniumLab) };
    let fits = |text: &str| form.fits(&Location::parse(text).unwrap());
    assert!(fits("Observation/1234") && !fits("Observation/12345"));
    assert_eq!(MillenniumLab.provenance(), ProvenanceForm::Each);
}

#[test]
fn names_lead_to_choices_and_back() {
    for category in Category::ALL {
        assert_eq!(Category::of_code(category.code()), Some(category));
    }
    assert!(TimeForm::ALL.iter().all(|form| TimeForm::of_name(form.name()) == Some(*form)));
    assert!(Dates::ALL.iter().all(|dates| Dates::of_name(dates.name()) == Some(*dates)));
    assert!(CategorySystem::ALL.iter().all(|system| CategorySystem::of_uri(system.uri()) == Some(*system)));
    assert!(UnitText::all().all(|text| UnitText::of(text).is_some()));
    assert_eq!((UnitText::of("mg%"), Category::of_code("Laboratory")), (None, None));
}

#[test]
fn a_site_with_mmol_has_the_mean_under_the_code_of_that_unit() {
    let form = mapped(MillenniumLab).in_unit(MeanUnit::Molar);
    assert_eq!(
        (form.row(Row::Mean).unwrap().coding.code.as_str(), form.faults(MillenniumLab)),
        ("105273-7", vec![])
    );
    let back = form.in_unit(MeanUnit::Mass);
    assert_eq!(back, mapped(MillenniumLab));
}
