use clinical::{
    device::Devices,
    glucose::Unit,
    policy::{Policy, Sheet},
};

use super::*;
use crate::report::{
    bar::apportion,
    export::{Export, Question, export},
    person::Person,
    sample::{fortnight, question, sample},
};

fn fourteen(policy: &str) -> Export {
    let asked = Question { policy: Policy::named(policy).unwrap(), ..question() };
    export("a.csv", fortnight().as_bytes(), &asked).unwrap()
}

fn page(export: &Export, unit: Unit) -> String {
    let body = sheet(export, &Person::default(), Scale::new(unit, export.policy), 1);
    head() + &body + foot()
}

/// The text between `open` and `close`, each time.
fn between<'a>(page: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    page.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inner, _)| inner).collect()
}

#[test]
fn there_is_no_script_no_address_and_no_style_but_the_one_that_is_hashed() {
    let page = page(&fourteen("standard"), Unit::MgDl).to_lowercase();
    for forbidden in
        ["<script", "javascript:", " onload", " onclick", " style=", "<link", "<img", "@import", "<iframe"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let foreign = page.replace("http://www.w3.org/2000/svg", "");
    assert!(
        !foreign.contains("http:") && !foreign.contains("https:") && !foreign.contains("//"),
        "an address"
    );
    let styles = between(&page, "<style>", "</style>");
    assert_eq!(styles.len(), 1);
    let hash = STANDARD.encode(Sha256::digest(STYLE)).to_lowercase();
    assert!(page.contains(&format!("style-src 'sha256-{hash}'")) && page.contains("default-src 'none'"));
    assert!(!page.contains("agp"), "a licensed name");
}

#[test]
fn every_figure_has_a_name_a_description_and_a_table_and_ids_are_unique() {
    for export in [fourteen("standard"), fourteen("pregnancy-t1"), sample()] {
        let page = page(&export, Unit::MgDl);
        let figures = between(&page, "<figure ", "</figure>");
        assert_eq!((figures.len(), page.matches("<svg").count()), (3, 3));
        for figure in figures {
            assert!(figure.contains("<svg role=\"img\" aria-labelledby=\""));
            let label = between(figure, "aria-labelledby=\"", "\"")[0];
            for id in label.split(' ') {
                let text = between(figure, &format!(" id=\"{id}\">"), "</")[0];
                assert!(text.len() > 5, "{id}: {text}");
            }
            assert_eq!(figure.matches("<table class=\"data\">").count(), 1);
            assert!(figure.matches("<tr>").count() >= 2 + usize::from(export.outcome.period.days > 2));
        }
        let mut ids = between(&page, " id=\"", "\"");
        let named = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), named);
        for used in between(&page, "url(#", ")") {
            assert!(ids.contains(&used), "{used}");
        }
    }
}

#[test]
fn the_numbers_are_those_of_the_outcome() {
    let export = fourteen("standard");
    let page = page(&export, Unit::MgDl);
    let outcome = &export.outcome;
    assert!(outcome.suffices());
    for number in [
        format!("<td class=\"big\">{:.1} <small>mg/dL</small></td>", outcome.mean_mg_dl),
        format!("<td class=\"big\">{:.1} %</td>", outcome.gmi_pct.unwrap()),
        format!("<td class=\"big\">{:.1} %</td>", outcome.cv_pct.unwrap()),
        format!("<td>{:.1} mg/dL</td>", outcome.sd_mg_dl.unwrap()),
        format!("<td>{}</td>", outcome.n),
        format!("sensor active {:.1}&nbsp;%", outcome.active_window_pct),
    ] {
        assert!(page.contains(&number), "{number}");
    }
    let minutes = outcome.minutes.as_array();
    for (range, share) in outcome.shown_shares().into_iter().enumerate() {
        let share = format!("{}.{:02} %", share / 100, share % 100);
        let hours = apportion(minutes, 1440)[range];
        let row = format!(
            "<td>{share}</td><td>{} h {:02} min</td><td>{}</td>",
            hours / 60,
            hours % 60,
            minutes[range]
        );
        assert!(page.contains(&row), "{row}");
        assert!(page.contains(&format!(">{share}</text>")), "{share}");
    }
    let profile = clinical::profile::profile(&outcome.period, &export.selection, export.policy);
    let noon = profile.bins[48].curve.unwrap();
    let cells: String = noon.iter().map(|value| format!("<td>{value:.0}</td>")).collect();
    assert!(page.contains(&format!("<th scope=\"row\">12:00</th><td>14</td>{cells}")), "{cells}");
}

/// The bar is as high as its ranges together, and its parts are in proportion to their shares.
#[test]
fn the_bar_is_drawn_in_proportion() {
    let export = fourteen("standard");
    let page = page(&export, Unit::MgDl);
    let bars = between(&page, "<rect x=\"2\" y=\"", "/>");
    let height = |bar: &str| between(bar, "height=\"", "\"")[0].parse::<f64>().unwrap();
    let total: f64 = bars.iter().map(|bar| height(bar)).sum();
    assert_eq!((bars.len(), total), (5, 228.0));
    let target = bars.iter().find(|bar| bar.contains("-target)")).unwrap();
    let share = export.outcome.shares_pct()[2];
    assert!((height(target) / total * 100.0 - share).abs() < 3.0, "{} {share}", height(target));
}

#[test]
fn mmol_l_has_its_native_edges_and_the_mean_by_one_factor() {
    let export = fourteen("standard");
    let page = page(&export, Unit::MmolL);
    let mean = export.outcome.mean_mg_dl / 18.0156;
    assert!(page.contains(&format!("<td class=\"big\">{mean:.1} <small>mmol/L</small></td>")));
    for edge in ["3.9\u{2013}10.0", "&lt;3.0", "&gt;13.9", ">19.4<"] {
        assert!(page.contains(edge), "{edge}");
    }
    assert!(!page.contains("mg/dL</td>"));
}

#[test]
fn too_little_data_gives_a_report_without_curve_that_says_why() {
    let page = page(&sample(), Unit::MgDl);
    assert!(page.contains("No curve: the period has 2 of the 14 days it takes"), "the reason");
    assert!(page.contains("withheld: the period has 2 of the 14 days"));
    assert!(page.contains(">no readings<") || page.matches("<g transform").count() == 2);
}

/// The standard policy with other rules of sufficiency.
fn wanting(days: u32, share_pct: u32) -> &'static Policy {
    let text = format!(
        "id = \"ours\"\nversion = 1\ntitle = \"Ours\"\nbase = \"standard\"\n\
         [sufficiency]\ndays = {days}\nshare_pct = {share_pct}\nsource = \"made up\"\n"
    );
    let sheet = Sheet::parse(&text, clinical::policy::sheet_named).unwrap();
    Box::leak(Box::new(Policy::from_sheet(&sheet, Devices::built_in()).unwrap()))
}

#[test]
fn a_page_takes_as_many_days_as_its_policy_wants_and_draws_the_last_fourteen_one_by_one() {
    for (days, most) in [(1, 14), (14, 14), (15, 15), (90, 90)] {
        assert_eq!(most_days(wanting(days, 70)), most, "{days}");
    }
    // Fourteen days of readings in a period of twenty: enough for this policy.
    let from = Some("2025-01-26".parse().unwrap());
    let asked = Question { policy: wanting(20, 50), from, ..question() };
    let export = export("a.csv", fortnight().as_bytes(), &asked).unwrap();
    assert_eq!((export.outcome.period.days, export.outcome.suffices()), (20, true));
    let page = page(&export, Unit::MgDl);
    assert!(!page.contains("No curve:"));
    assert!(page.contains("<h2>Each day <small>(the last 14 of 20 days; 00:00 to 24:00,"));
    assert_eq!(page.matches("<g transform=\"translate(").count(), 14);
    assert!(page.contains(">Fri 14 Feb</text>") && !page.contains(">Fri 31 Jan</text>"));
    assert!(!self::page(&fourteen("standard"), Unit::MgDl).contains("the last 14 of"));
}

#[test]
fn variation_is_told_beside_what_counts_as_stable() {
    let mut export = fourteen("standard");
    for (cv, told) in [(Some(36.0), "met"), (Some(36.01), "NOT MET"), (None, "not known")] {
        export.outcome.cv_pct = cv;
        let row = format!("<th scope=\"row\">CV stable up to 36 %</th><td>{told}</td>");
        assert!(page(&export, Unit::MgDl).contains(&row), "{row}");
    }
}

#[test]
fn a_name_is_text_and_what_is_not_known_is_left_blank() {
    let export = sample();
    let person = Person { name: Some("<b>O'Neil & Co</b>".to_owned()), ..Person::default() };
    let sheet = sheet(&export, &person, Scale::new(Unit::MgDl, export.policy), 2);
    assert!(sheet.contains("<dd>&lt;b&gt;O&#39;Neil &amp; Co&lt;/b&gt;</dd>"));
    let turned = Person { name: Some("Ada\u{202e}\u{1b}[2J".to_owned()), ..Person::default() };
    let turned = super::sheet(&export, &turned, Scale::new(Unit::MgDl, export.policy), 1);
    assert!(turned.contains("<dd>Ada\\u{202e}\\x1B[2J</dd>"));
    assert_eq!(sheet.matches("aria-label=\"not given\"").count(), 2);
    assert!(sheet.contains("id=\"s2-curve\""));
}

/// A percentile that is drawn is the one in the table: the height of the median at noon.
#[test]
fn the_median_is_drawn_at_its_value() {
    let export = fourteen("standard");
    let page = page(&export, Unit::MgDl);
    let profile = clinical::profile::profile(&export.outcome.period, &export.selection, export.policy);
    let bin = &profile.bins[48];
    let x = 40.0 + 666.0 * (f64::from(bin.minute) + 7.5) / 1440.0;
    let y = 262.0 - 254.0 * bin.curve.unwrap()[2] / 350.0;
    let median = between(&page, "<path d=\"", "stroke-width=\"2.6\"/>");
    let drawn = median.iter().any(|path| path.contains(&format!("L{x:.1} {y:.1}")));
    assert!(drawn, "{x:.1} {y:.1}");
}

/// What a browser made of it was looked at; this holds the part of it that is ours. Of 257 mm (Letter less its
/// margins) the drawings take 185 at the most, the headings, the legend and the notes the rest.
#[test]
fn the_drawings_leave_room_for_the_words_on_one_page() {
    for export in [fourteen("standard"), fourteen("pregnancy-t1"), sample()] {
        let page = page(&export, Unit::MgDl);
        let boxes = between(&page, "viewBox=\"0 0 ", "\"");
        let heights = boxes.iter().map(|size| size.split(' ').nth(1).unwrap().parse::<f64>().unwrap());
        let all: f64 = heights.sum();
        assert!(all / 4.0 <= 185.0, "{all}");
        assert_eq!(page.matches("</article>").count(), 1);
    }
}
