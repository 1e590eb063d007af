//! "Did you mean": the known word nearest to a misspelt one.

/// The longest word that is compared: the cost is the product of both lengths.
const MAX_WORD_BYTES: usize = 64;

/// The candidate that one or two slips of the pen turn into `word`; `None` where none is that near.
///
/// One slip is a letter too many, too few, another, or two neighbours exchanged. Words of up to four
/// letters allow one slip, longer ones two. Of equally near candidates the first is taken.
pub(crate) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    within(if word.len() <= 4 { 1 } else { 2 }, word, candidates)
}

/// The same, of which so many slips are allowed: names that others gave may be near each other and both be meant.
pub(crate) fn within<'c>(
    allowed: usize,
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (slips(&word, &candidate.to_ascii_lowercase().replace('-', "_")), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance, in characters.
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let other = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + other);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted_by_hand() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("plain", "plain", 0),
            ("plian", "plain", 1),
            ("pain", "plain", 1),
            ("listn", "listen", 1),
            ("window", "widow", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(slips(a, b), expected, "{a} {b}");
            assert_eq!(slips(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        let known = ["timezone", "listen", "key"];
        assert_eq!(nearest("time_zone", known.into_iter()), Some("timezone"));
        assert_eq!(nearest("Listen", known.into_iter()), Some("listen"));
        assert_eq!(nearest("ky", known.into_iter()), Some("key"));
        assert_eq!(nearest("colour", known.into_iter()), None);
        assert_eq!(nearest(&"k".repeat(65), known.into_iter()), None);
    }
}
