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

/// The attributes of those elements (HTML 4.0), and what XHTML has beside them.
const ATTRIBUTES: [&str; 61] = [
    "abbr",
    "accesskey",
    "align",
    "alt",
    "axis",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "char",
    "charoff",
    "charset",
    "cite",
    "class",
    "clear",
    "colspan",
    "compact",
    "coords",
    "datetime",
    "dir",
    "frame",
    "headers",
    "height",
    "href",
    "hreflang",
    "hspace",
    "id",
    "ismap",
    "lang",
    "longdesc",
    "name",
    "noshade",
    "nohref",
    "nowrap",
    "rel",
    "rev",
    "rowspan",
    "rules",
    "scope",
    "shape",
    "size",
    "span",
    "src",
    "start",
    "style",
    "summary",
    "tabindex",
    "target",
    "title",
    "type",
    "usemap",
    "valign",
    "value",
    "vspace",
    "width",
    "xml:lang",
    "xml:space",
    "xml:id",
    "xmlns",
    "xmlns:xlink",
    "xmlns:xsi",
];
/// Attributes whose value is an address.
const ADDRESSES: [&str; 5] = ["cite", "href", "longdesc", "src", "usemap"];
/// Schemes that show something and run nothing.
const SCHEMES: [&str; 6] = ["http", "https", "mailto", "tel", "ftp", "urn"];
/// An image within the text.
const IMAGE: &str = "data:image/";
/// What of a style fetches or runs.
const STYLES_THAT_RUN: [&str; 5] = ["url(", "expression", "javascript:", "@import", "behavior"];

/// Whether a text has no element but those, no attribute that runs and no address that does; read as XHTML, whose attributes
/// are quoted.
pub(super) fn is_plain(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let behind = &rest[at + 1..];
        let after = match behind.strip_prefix("!--") {
            Some(comment) => comment.split_once("-->").map(|(_, after)| after),
            None => after_tag(behind),
        };
        let Some(after) = after else { return false };
        rest = after;
    }
    true
}

/// What is behind a tag, where it is a plain one.
fn after_tag(text: &str) -> Option<&str> {
    let text = text.strip_prefix('/').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_alphanumeric())?;
    let (name, mut rest) = text.split_at(end);
    if !PLAIN.contains(&name) {
        return None;
    }
    loop {
        let trimmed = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        if let Some(after) = trimmed.strip_prefix("/>").or_else(|| trimmed.strip_prefix('>')) {
            return Some(after);
        }
        // An attribute begins after a blank.
        if trimmed.len() == rest.len() {
            return None;
        }
        let (name, value) = trimmed.split_once('=')?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, after) = value[1..].split_once(quote)?;
        if !is_plain_attribute(name.trim_end(), value) {
            return None;
        }
        rest = after;
    }
}

fn is_plain_attribute(name: &str, value: &str) -> bool {
    // As whoever shows it reads it: references to characters resolved, and what is not seen left out.
    let read: String = resolved(value).chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let read = read.to_ascii_lowercase();
    ATTRIBUTES.contains(&name)
        && (name != "style" || !STYLES_THAT_RUN.iter().any(|runs| read.contains(runs)))
        && (!ADDRESSES.contains(&name) || is_plain_address(&read))
}

fn is_plain_address(address: &str) -> bool {
    let before_path = address.split(['/', '?', '#']).next().unwrap_or_default();
    match before_path.split_once(':') {
        None => true,
        Some((scheme, _)) => SCHEMES.contains(&scheme) || address.starts_with(IMAGE),
    }
}

/// A value with its references to characters resolved; one that is not known stays.
fn resolved(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let digits = behind.strip_prefix('#').map(|number| match number.strip_prefix(['x', 'X']) {
            Some(hex) => (hex, 16),
            None => (number, 10),
        });
        let (found, after) = match digits {
            Some((digits, radix)) => {
                let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
                let code = u32::from_str_radix(&digits[..end], radix).ok().and_then(char::from_u32);
                (code, digits[end..].strip_prefix(';').unwrap_or(&digits[end..]))
            }
            None => {
                let name = behind.split(';').next().unwrap_or_default();
                let known = match name {
                    "colon" => Some(':'),
                    "Tab" => Some('\t'),
                    "NewLine" => Some('\n'),
                    "lpar" => Some('('),
                    "sol" => Some('/'),
                    _ => None,
                };
                (known, behind.get(name.len() + 1..).unwrap_or_default())
            }
        };
        match found {
            Some(found) => {
                out.push(found);
                rest = after;
            }
            None => {
                out.push('&');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_is_plain_and_what_runs_is_not() {
        for text in [
            "<div>a &lt; b &amp; c</div>",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang='en'><p class=\"x\">a<br/></p></div>",
            "<div><!-- <script> is no element here --><img src=\"#i\" alt=\"a > b\"/></div>",
            "<div><img src=\"data:image/png;base64,AA==\" alt=\"\"/><a href=\"https://e/x?a=b:c\">a</a></div>",
            "<div><a href=\"Patient/1\">a</a><td style=\"color: red\" colspan=\"2\"></td></div>",
            "<div><a href = 'mailto:a@b'\n>a</a></div >",
        ] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "<div><script>x</script></div>",
            "<div><p onclick=\"x\">a</p></div>",
            "<div><p onclick = \"x\">a</p></div>",
            "<div><p class=\"a\"onclick=\"x\">a</p></div>",
            "<div><p class=\"a\"/onclick=\"x\">a</p></div>",
            "<div><img alt=\"a>b\" onerror=\"x\"/></div>",
            "<div><a href=\"javascript:x\">a</a></div>",
            "<div><a href=\"java&#115;cript:x\">a</a></div>",
            "<div><a href=\"java&#x73cript&colon;x\">a</a></div>",
            "<div><a href=\" java\nscript:x\">a</a></div>",
            "<div><a href=\"data:text/html,x\">a</a></div>",
            "<div><a href=\"vbscript:x\">a</a></div>",
            "<div><p style=\"background: url(http://e)\">a</p></div>",
            "<div><p class=a>a</p></div>",
            "<div><p class=\"a>a</p></div>",
            "<div><form></form></div>",
            "<div><!-- a",
            "<div><![CDATA[<script>]]></div>",
            "<div><?x?></div>",
            "<div",
            "<",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_looked_at_without_a_panic(text in "[<>/a-p ='\"&#x0-9;:!é-]{0,60}") {
            let _plain = is_plain(&text);
        }
    }
}
