//! A narrative's XHTML (narrative.html, txt-1): formatting alone, so that showing it runs nothing.

/// The elements that may stand in it: those of chapters 7 to 11 and 15 of HTML 4.0, links and images.
const PLAIN: [&str; 57] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "area",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "map",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
];

/// Whether a text has no element but those, no attribute that runs and no address that does.
pub(super) fn is_plain(text: &str) -> bool {
    text.split('<').skip(1).all(|tag| {
        let tag = tag.strip_prefix('/').unwrap_or(tag);
        if tag.starts_with("!--") {
            return true;
        }
        let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let (name, rest) = tag.split_at(end);
        let inside = rest.split('>').next().unwrap_or_default().to_ascii_lowercase();
        // An attribute `onclick` begins after a blank.
        let runs = inside.split_ascii_whitespace().any(|word| word.starts_with("on") && word.contains('='));
        PLAIN.contains(&name) && !runs && !inside.contains("javascript:")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_is_plain_and_what_runs_is_not() {
        for text in ["<div>a &lt; b</div>", "<div><p class=\"x\">a<br/></p><!-- c --><img src=\"#i\"/></div>"]
        {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "<div><script>x</script></div>",
            "<div><p onclick=\"x\">a</p></div>",
            "<div><a href=\"javascript:x\">a</a></div>",
            "<div><form></form></div>",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
