//! The arithmetic of the benchmark: percentiles, medians, ratios. Pure.

/// What one measurement, or the median of several, says of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Sample {
    /// Messages acknowledged per second.
    pub per_second: f64,
    /// Median time from the first byte sent to the whole acknowledgement, in milliseconds.
    pub p50_ms: f64,
    /// The same for 99 of 100 messages.
    pub p99_ms: f64,
    /// CPU time of the process per message until the last acknowledgement, in microseconds.
    pub cpu_us_per_message: f64,
    /// The same until everything was absorbed too; for the yardstick it is the same figure.
    pub cpu_us_absorbed: f64,
}

/// A point of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Connections, each waiting for its acknowledgement before it sends again.
    pub connections: u16,
    /// The daemon.
    pub daemon: Sample,
    /// The yardstick, where it was measured.
    pub bare: Option<Sample>,
}

/// A point over all rounds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Connections.
    pub connections: u16,
    /// Medians of the daemon's figures.
    pub daemon: Sample,
    /// Medians of the yardstick's.
    pub bare: Option<Sample>,
    /// Median over the rounds of the daemon's rate divided by the yardstick's in the same round.
    pub ratio: Option<f64>,
    /// The lowest and the highest of these, to tell how far one may trust the median.
    pub ratio_range: Option<(f64, f64)>,
}

/// The `percent`-th percentile by nearest rank: the smallest value that at least so many of 100 do not exceed.
/// `sorted` ascends; 0 where it is empty.
pub fn percentile(sorted: &[u32], percent: u8) -> u32 {
    let rank = (sorted.len() * usize::from(percent.min(100))).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The middle value, or the mean of the two middle ones; 0 where there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => 0.0,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => (sorted[middle - 1] + upper) / 2.0,
    }
}

/// The median of each figure by itself.
pub fn median_sample(samples: &[Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
    Sample {
        per_second: of(|sample| sample.per_second),
        p50_ms: of(|sample| sample.p50_ms),
        p99_ms: of(|sample| sample.p99_ms),
        cpu_us_per_message: of(|sample| sample.cpu_us_per_message),
        cpu_us_absorbed: of(|sample| sample.cpu_us_absorbed),
    }
}

/// One point over all rounds that have it.
pub fn summarize(points: &[&Point]) -> Summary {
    let daemon: Vec<Sample> = points.iter().map(|point| point.daemon).collect();
    let bare: Vec<Sample> = points.iter().filter_map(|point| point.bare).collect();
    let ratios: Vec<f64> = points
        .iter()
        .filter_map(|point| point.bare.map(|bare| point.daemon.per_second / bare.per_second))
        .filter(|ratio| ratio.is_finite())
        .collect();
    let lowest = ratios.iter().copied().reduce(f64::min);
    let highest = ratios.iter().copied().reduce(f64::max);
    Summary {
        connections: points.first().map_or(0, |point| point.connections),
        daemon: median_sample(&daemon),
        bare: (!bare.is_empty()).then(|| median_sample(&bare)),
        ratio: (!ratios.is_empty()).then(|| median(ratios.iter().copied())),
        ratio_range: lowest.zip(highest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: f64) -> Sample {
        Sample { per_second, ..Sample::default() }
    }

    #[test]
    fn a_percentile_is_the_value_at_the_nearest_rank() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(
            [percentile(&hundred, 50), percentile(&hundred, 99), percentile(&hundred, 100)],
            [50, 99, 100]
        );
        // Of five values the third is the first that half of them (2.5) do not exceed.
        assert_eq!([percentile(&[10, 20, 30, 40, 50], 50), percentile(&[10, 20, 30, 40, 50], 99)], [30, 50]);
        assert_eq!([percentile(&[7], 0), percentile(&[7], 99), percentile(&[], 50)], [7, 7, 0]);
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_two_middles_in_any_order() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median([4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-12);
        assert!((median([9.0]) - 9.0).abs() < 1e-12);
        assert!(median([]).abs() < 1e-12);
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_own_ratios() {
        // A machine that halves its speed between rounds leaves each round's ratio as it is.
        let round = |daemon, bare| Point { connections: 64, daemon: rate(daemon), bare: Some(rate(bare)) };
        let rounds = [round(60.0, 100.0), round(30.0, 50.0), round(10.0, 40.0)];
        let summary = summarize(&rounds.iter().collect::<Vec<_>>());
        assert!((summary.ratio.unwrap() - 0.6).abs() < 1e-12);
        assert!((summary.daemon.per_second - 30.0).abs() < 1e-12);
        assert!((summary.bare.unwrap().per_second - 50.0).abs() < 1e-12);
        assert_eq!(summary.ratio_range.map(|(low, high)| (low * 100.0, high * 100.0)), Some((25.0, 60.0)));
    }

    #[test]
    fn without_a_yardstick_there_is_no_ratio() {
        let point = Point { connections: 1, daemon: rate(5.0), bare: None };
        let summary = summarize(&[&point]);
        assert_eq!((summary.ratio, summary.bare, summary.ratio_range), (None, None, None));
        let still = Point { connections: 1, daemon: rate(5.0), bare: Some(rate(0.0)) };
        assert_eq!(summarize(&[&still]).ratio, None);
    }
}
