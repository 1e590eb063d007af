//! What is written on: how wide it is and whether it has colour.

pub use crate::exhibit::visible::printable;

/// The narrowest layout; on a narrower terminal the terminal breaks the lines.
pub const MIN_WIDTH: usize = 40;
/// The widest layout: longer lines are hard to read.
pub const MAX_WIDTH: usize = 80;

/// A colour that goes with a sign, never instead of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Very low; a goal that is not met.
    Red,
    /// Low.
    Magenta,
    /// Target.
    Green,
    /// High.
    Yellow,
    /// Very high.
    Blue,
}

impl Ink {
    /// Digit of the ANSI colour (ECMA-48, SGR 30 to 37 and 40 to 47).
    const fn ansi(self) -> u8 {
        match self {
            Self::Red => 1,
            Self::Green => 2,
            Self::Yellow => 3,
            Self::Blue => 4,
            Self::Magenta => 5,
        }
    }
}

/// A terminal or a file as far as the layout is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Columns, from [`MIN_WIDTH`] to [`MAX_WIDTH`].
    pub width: usize,
    /// Whether colour may be used.
    pub colour: bool,
}

impl Paper {
    /// Paper of `columns`, brought into the range of the layouts; `None` where it is not known.
    #[must_use]
    pub fn new(columns: Option<usize>, colour: bool) -> Self {
        Self { width: columns.unwrap_or(MAX_WIDTH).clamp(MIN_WIDTH, MAX_WIDTH), colour }
    }

    /// `text` on a ground of `ink`.
    #[must_use]
    pub fn backed(self, ink: Ink, text: &str) -> String {
        self.styled(text, &format!("30;4{}", ink.ansi()))
    }

    /// `text` in bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.styled(text, "1")
    }

    fn styled(self, text: &str, codes: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{codes}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// `text` in lines of at most the width, the first after `head`, the others indented to the same
    /// column. A word longer than a line is cut; what does not print is shown as an escape.
    #[must_use]
    pub fn wrapped(self, head: &str, text: &str) -> String {
        let indent = head.chars().count();
        let room = self.width.saturating_sub(indent).max(1);
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split_whitespace() {
            let mut word: Vec<char> = printable(word).chars().collect();
            while !word.is_empty() {
                let used = lines.last().map_or(0, |line| line.chars().count());
                let gap = usize::from(used > 0);
                if used + gap + word.len() > room && used > 0 {
                    lines.push(String::new());
                    continue;
                }
                let rest = word.split_off(word.len().min(room));
                if let Some(line) = lines.last_mut() {
                    line.extend(std::iter::repeat_n(' ', gap));
                    line.extend(&word);
                }
                word = rest;
            }
        }
        let separator = format!("\n{}", " ".repeat(indent));
        format!("{head}{}\n", lines.join(&separator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_indented_under_its_head() {
        let paper = Paper { width: 14, colour: false };
        assert_eq!(paper.wrapped("  a  ", "one two three four"), "  a  one two\n     three\n     four\n");
        assert_eq!(paper.wrapped("- ", "abcdefghijklmnop"), "- abcdefghijkl\n  mnop\n");
        assert_eq!(paper.wrapped("- ", ""), "- \n");
    }

    #[test]
    fn without_colour_no_escape_is_written() {
        let paper = Paper::new(None, false);
        assert_eq!((paper.width, paper.bold("x"), paper.backed(Ink::Red, "x")), (80, "x".into(), "x".into()));
        assert_eq!(Paper::new(Some(10), true).width, MIN_WIDTH);
        assert_eq!(Paper::new(Some(300), true).bold("x"), "\u{1b}[1mx\u{1b}[0m");
    }

    #[test]
    fn a_stranger_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\u{9b}\u{202e}c"), "a\\x1B[2J\\x0D\\x0Ab\\x9B\\u{202e}c");
        let paper = Paper { width: 40, colour: true };
        assert_eq!(paper.wrapped("- ", "a\u{1b}[2J\u{202e}\nb"), "- a\\x1B[2J\\u{202e} b\n");
    }
}
