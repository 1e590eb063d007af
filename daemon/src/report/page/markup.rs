//! Text as HTML has it.

use std::fmt;

/// Text of anybody, safe between tags and in quoted attributes; control characters become `?`.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_str("?")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_writes_no_markup() {
        let text = Text("<b onx='1'>\u{7}\"&").to_string();
        assert_eq!(text, "&lt;b onx=&#39;1&#39;&gt;?&quot;&amp;");
    }
}
