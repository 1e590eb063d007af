//! An entry as a syslog message (RFC 5424), and framed for a stream (RFC 5425, section 4.3). Pure.
//!
//! Facility 13 is "log audit" (RFC 5424, section 6.2.1). What was refused, or found broken, is a warning, all else is
//! informational. All of an entry stands in structured data, so that a collector need not take a sentence apart.

use super::line::Line;

/// `log audit`.
const FACILITY: u8 = 13;
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;
/// RFC 5424, section 6.2.7: no more is taken by everyone.
const MSGID_MOST: usize = 32;
/// RFC 5424, section 6.2.4.
const HOST_MOST: usize = 255;
/// Longest particulars of a message: with all else it stays below the 8,192 bytes that every receiver should take (RFC 5425,
/// section 4.3.1).
const DETAIL_MOST_BYTES: usize = 4_096;
/// Longest of the other texts, which are no longer by far.
const TEXT_MOST_BYTES: usize = 600;
/// Before a text in UTF-8 (RFC 5424, section 6.4).
const BOM: char = '\u{feff}';
/// Name of the structured data. 32473 is the number for examples (RFC 5612): the project has none of its own.
pub const SD_ID: &str = "isthmus@32473";

/// Whose messages they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The machine.
    pub host: String,
    /// The box's id.
    pub box_id: String,
}

impl Origin {
    /// This machine.
    pub fn here(box_id: &str) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { host, box_id: box_id.to_owned() }
    }
}

/// The message of an entry.
pub fn message(line: &Line, origin: &Origin) -> String {
    let warns = ["refused", "rejected", "broken", "unusable"].iter().any(|word| line.action.contains(word));
    let priority = FACILITY * 8 + if warns { WARNING } else { INFORMATIONAL };
    let (detail, is_cut) = cut(&line.detail, DETAIL_MOST_BYTES);
    let mut data = format!("[{SD_ID}");
    let id = line.id.to_string();
    let texts = [
        ("box", origin.box_id.as_str()),
        ("id", &id),
        ("actor", cut(&line.actor, TEXT_MOST_BYTES).0),
        ("action", cut(&line.action, TEXT_MOST_BYTES).0),
        ("object", cut(&line.object, TEXT_MOST_BYTES).0),
        ("detail", detail),
        ("previous", &line.previous),
        ("hash", &line.hash),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        data.push_str(&format!(" {name}=\"{}\"", escaped(text)));
    }
    if is_cut {
        data.push_str(" cut=\"yes\"");
    }
    data.push(']');
    let told = format!("{}: {} {}", line.actor, line.action, line.object);
    format!(
        "<{priority}>1 {} {} isthmus - {} {data} {BOM}{}",
        line.at,
        printable(&origin.host, HOST_MOST),
        printable(&line.action.replace(' ', "-"), MSGID_MOST),
        plain(cut(told.trim_end(), TEXT_MOST_BYTES).0),
    )
}

/// A message as it goes over a stream: its length in bytes, a space, itself.
pub fn framed(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// A value of a parameter: quotes, backslashes and brackets are escaped (RFC 5424, section 6.3.3).
fn escaped(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for letter in plain(text).chars() {
        if matches!(letter, '"' | '\\' | ']') {
            told.push('\\');
        }
        told.push(letter);
    }
    told
}

/// Without what could end a line or steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// A field of the header: printable ASCII, no spaces, not empty.
fn printable(text: &str, most: usize) -> String {
    let sound: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if sound.is_empty() { "-".to_owned() } else { sound }
}

/// As much of a text as `most` bytes hold, and whether that is not all.
fn cut(text: &str, most: usize) -> (&str, bool) {
    (&text[..text.floor_char_boundary(most)], text.len() > most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(action: &str, object: &str, detail: &str) -> Line {
        Line {
            id: 7,
            at: "2026-11-23T08:00:00.123Z".into(),
            at_ms: 0,
            actor: "user alice (uid 1000)".into(),
            action: action.into(),
            object: object.into(),
            detail: detail.into(),
            previous: "0".repeat(64),
            hash: "a".repeat(64),
        }
    }

    fn origin() -> Origin {
        Origin { host: "box.ward 4".into(), box_id: "box-1".into() }
    }

    #[test]
    fn a_message_has_the_form_of_rfc_5424() {
        let told = message(&line("quarantine released", "message 17", "code added"), &origin());
        let wanted = format!(
            "<110>1 2026-11-23T08:00:00.123Z box.ward4 isthmus - quarantine-released [isthmus@32473 box=\"box-1\" id=\"7\" \
             actor=\"user alice (uid 1000)\" action=\"quarantine released\" object=\"message 17\" detail=\"code added\" \
             previous=\"{}\" hash=\"{}\"] \u{feff}user alice (uid 1000): quarantine released message 17",
            "0".repeat(64),
            "a".repeat(64)
        );
        assert_eq!(told, wanted);
        assert!(message(&line("fhir refused", "", ""), &origin()).starts_with("<108>1 "));
    }

    #[test]
    fn no_text_of_an_entry_ends_a_value_a_line_or_the_message() {
        let told = message(&line("a\nb", "x\"]\\ é", "1\r\n<110>1 forged"), &origin());
        assert!(!told.contains(['\n', '\r']), "{told}");
        assert!(told.contains(r#" object="x\"\]\\ é" "#), "{told}");
        assert!(told.contains(" isthmus - ab [isthmus"), "{told}");
        let long = message(&line(&"w".repeat(90), "o", &"é".repeat(9_000)), &origin());
        assert!(long.len() < 8_192 && long.contains(" cut=\"yes\"]"), "{}", long.len());
        let msgid = long.split(' ').nth(5).unwrap();
        assert_eq!(msgid.len(), MSGID_MOST);
        let nameless = Origin { host: String::new(), ..origin() };
        assert!(message(&line("a", "b", "c"), &nameless).contains("Z - isthmus - a ["));
    }

    #[test]
    fn a_frame_says_how_many_bytes_follow() {
        let message = message(&line("a", "é", ""), &origin());
        let frame = framed(&message);
        let (length, rest) = frame.split_at(frame.iter().position(|byte| *byte == b' ').unwrap());
        assert_eq!(std::str::from_utf8(length).unwrap().parse::<usize>().unwrap(), rest.len() - 1);
        assert_eq!(&rest[1..], message.as_bytes());
    }
}
