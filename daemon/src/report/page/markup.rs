//! Text as HTML has it.

use std::fmt;

use crate::exhibit::visible::print;

/// Text of anybody, safe between tags and in quoted attributes; what does not print is shown as an escape.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => print(f, c)?,
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
        let text = Text("<b onx='1'>\u{7}\"&\u{202e}").to_string();
        assert_eq!(text, "&lt;b onx=&#39;1&#39;&gt;\\x07&quot;&amp;\\u{202e}");
    }
}
