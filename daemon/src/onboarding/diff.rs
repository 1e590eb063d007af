//! A unified diff of two texts, by lines. Pure.
//!
//! A site's file has some hundred lines; beyond `LINES_MOST` the whole text is shown as replaced, which is true too.

use std::fmt::Write as _;

/// The most lines of a text that are compared: the table has the square of it.
const LINES_MOST: usize = 2_000;
/// Unchanged lines shown around a change.
const AROUND: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Same,
    Gone,
    New,
}

/// The diff; empty where the texts are equal.
pub fn unified(name: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let marked = marks(&old, &new);
    let mut out = format!("--- {name}\n+++ {name} (proposed)\n");
    let changed = |at: usize| {
        let near = at.saturating_sub(AROUND)..marked.len().min(at + AROUND + 1);
        marked[near].iter().any(|(mark, _)| *mark != Mark::Same)
    };
    let (mut line_old, mut line_new, mut at) = (1, 1, 0);
    while at < marked.len() {
        if !changed(at) {
            (line_old, line_new, at) = (line_old + 1, line_new + 1, at + 1);
            continue;
        }
        let end = (at..marked.len()).find(|at| !changed(*at)).unwrap_or(marked.len());
        let hunk = &marked[at..end];
        let count = |other: Mark| hunk.iter().filter(|(mark, _)| *mark != other).count();
        let (of_old, of_new) = (count(Mark::New), count(Mark::Gone));
        let _ = writeln!(out, "@@ -{line_old},{of_old} +{line_new},{of_new} @@");
        for (mark, line) in hunk {
            let sign = match mark {
                Mark::Same => ' ',
                Mark::Gone => '-',
                Mark::New => '+',
            };
            let _ = writeln!(out, "{sign}{line}");
        }
        (line_old, line_new, at) = (line_old + of_old, line_new + of_new, end);
    }
    out
}

/// Every line of both texts in order, by their longest common sequence.
fn marks<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Mark, &'a str)> {
    if old.len() > LINES_MOST || new.len() > LINES_MOST {
        let gone = old.iter().map(|line| (Mark::Gone, *line));
        return gone.chain(new.iter().map(|line| (Mark::New, *line))).collect();
    }
    let wide = new.len() + 1;
    let mut common = vec![0u16; (old.len() + 1) * wide];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * wide + j] = if old[i] == new[j] {
                common[(i + 1) * wide + j + 1] + 1
            } else {
                common[(i + 1) * wide + j].max(common[i * wide + j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push((Mark::Same, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[(i + 1) * wide + j] >= common[i * wide + j + 1])
        {
            out.push((Mark::Gone, old[i]));
            i += 1;
        } else {
            out.push((Mark::New, new[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_shown_with_its_neighbours_and_its_place() {
        let old = "a\nb\nc\nd\ne\nf\ng\n";
        let new = "a\nb\nc\nD\ne\nf\ng\n";
        let wanted = "--- x\n+++ x (proposed)\n@@ -2,5 +2,5 @@\n b\n c\n-d\n+D\n e\n f\n";
        assert_eq!(unified("x", old, new), wanted);
        assert_eq!(unified("x", old, old), "");
    }

    #[test]
    fn changes_far_apart_are_hunks_of_their_own() {
        let old = "a\n1\n2\n3\n4\n5\n6\nb\n";
        let new = "A\n1\n2\n3\n4\n5\n6\nb\nc\n";
        let shown = unified("x", old, new);
        assert_eq!(shown.matches("@@ -").count(), 2, "{shown}");
        assert!(shown.ends_with("@@ -7,2 +7,3 @@\n 6\n b\n+c\n"), "{shown}");
    }
}
