//! The escapes of search values (search.html, "Escaping Search Parameters"): `\,` `\|` `\$` `\\`.

/// The parts between separators that are not escaped, still escaped themselves. Always one at least.
pub(super) fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if char == '\\' {
            escaped = true;
        } else if char == separator {
            parts.push(&text[start..at]);
            start = at + char.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The text without escapes. A backslash before anything else stands for itself.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(&next) if char == '\\' && matches!(next, ',' | '|' | '$' | '\\') => {
                plain.push(next);
                chars.next();
            }
            _ => plain.push(char),
        }
    }
    plain
}
