use super::*;
use crate::{glucose::Glucose, select::Counted, series::Palette};

fn metrics(values: &[Glucose], policy: &Policy) -> Metrics {
    let mut palette = Palette::new(policy);
    let counted: Vec<_> = values
        .iter()
        .map(|glucose| Counted {
            reading: crate::reading::Reading { glucose: *glucose, ..Counted::sample(100, 5).reading },
            minutes: 5,
        })
        .collect();
    let points = palette.points(counted.iter().map(Counted::picked));
    Metrics::of(&Distribution::of(&points, &palette), policy).unwrap()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[test]
fn the_tight_range_has_both_its_ends_in_both_units() {
    let mg_dl = [69, 70, 140, 141].map(Glucose::mg_dl);
    let mmol_l = [38, 39, 78, 79].map(Glucose::mmol_l_tenths);
    for values in [mg_dl, mmol_l] {
        assert_eq!(metrics(&values, Policy::standard()).titr, Some(Share { minutes: 10, pct: 50.0 }));
    }
    // A target that ends at 140 has no tighter range within it.
    assert_eq!(metrics(&mg_dl, Policy::named("pregnancy-t1").unwrap()).titr, None);
}

#[test]
fn the_risk_index_is_made_of_its_components() {
    // 10 % very low, 20 % low, 40 % target, 20 % high, 10 % very high.
    let values = [50, 60, 65, 100, 110, 120, 130, 200, 210, 300].map(Glucose::mg_dl);
    let gri = metrics(&values, Policy::standard()).gri.unwrap();
    // 3.0·10 + 2.4·20 + 1.6·10 + 0.8·20 = 110, which is cut.
    assert!(near(gri.hypo_component, 26.0) && near(gri.hyper_component, 20.0), "{gri:?}");
    assert_eq!((gri.value, gri.zone), (100.0, GriZone::E));
    assert_eq!(metrics(&values, Policy::named("pregnancy-t1").unwrap()).gri, None);
}

#[test]
fn a_zone_has_its_upper_end() {
    // A quarter high is 20 exactly: 0.8 × 25.
    for (high, low, value, zone) in [
        (0, 0, 0.0, GriZone::A),
        (25, 0, 20.0, GriZone::A),
        (26, 0, 20.8, GriZone::B),
        (50, 0, 40.0, GriZone::B),
        (75, 0, 60.0, GriZone::C),
        (100, 0, 80.0, GriZone::D),
        (0, 34, 81.6, GriZone::E),
    ] {
        let minutes = RangeMinutes { very_low: 0, low, target: 100 - high - low, high, very_high: 0 };
        let found = gri(&minutes);
        assert!(near(found.value, value) && found.zone == zone, "{found:?} {value}");
    }
}

/// By hand: f(112.5) is about 0, f(50) = 1.509·(ln 50^1.084 − 5.381).
#[test]
fn low_and_high_risk_are_means_over_all_readings() {
    let of = |g: f64| 10.0 * (1.509 * (g.ln().powf(1.084) - 5.381)).powi(2);
    let found = metrics(&[50, 100, 200, 300].map(Glucose::mg_dl), Policy::standard());
    assert!(near(found.lbgi, (of(50.0) + of(100.0)) / 4.0), "{}", found.lbgi);
    assert!(near(found.hbgi, (of(200.0) + of(300.0)) / 4.0), "{}", found.hbgi);
    // Published: 50 mg/dL has a risk of 22.5, 180 of 7.7 (Kovatchev 1997, figure 1, to a tenth).
    let alone = |value| metrics(&[Glucose::mg_dl(value)], Policy::standard());
    assert!((alone(50).lbgi - 22.5).abs() < 0.2, "{}", alone(50).lbgi);
    assert!((alone(180).hbgi - 7.7).abs() < 0.2, "{}", alone(180).hbgi);
}

#[test]
fn a_value_that_no_sensor_gives_has_a_finite_risk() {
    let found = metrics(&[-5, 0, 1].map(Glucose::mg_dl), Policy::standard());
    assert!(found.lbgi.is_finite() && found.lbgi > 600.0);
}

#[test]
fn the_j_index_needs_two_readings() {
    // Mean 110, SD 30: 0.001 · 140².
    let found = metrics(&[80, 110, 140].map(Glucose::mg_dl), Policy::standard());
    assert!(near(found.j_index.unwrap(), 19.6));
    assert_eq!(metrics(&[Glucose::mg_dl(80)], Policy::standard()).j_index, None);
}
