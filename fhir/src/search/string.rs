//! Texts (search.html, "string"): begins with, without case and accents; `:exact`; `:contains`.

/// How a text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    BeginsWith,
    Contains,
    Exact,
}

/// A text that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    manner: Manner,
    /// Folded but for [`Manner::Exact`].
    text: String,
}

impl Text {
    /// Of a text without escapes.
    pub(super) fn new(text: &str, manner: Manner) -> Self {
        let text = if manner == Manner::Exact { text.to_owned() } else { fold(text) };
        Self { manner, text }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self.manner {
            Manner::Exact => text == self.text,
            Manner::BeginsWith => fold(text).starts_with(&self.text),
            Manner::Contains => fold(text).contains(&self.text),
        }
    }

    /// The beginning that is indexed, where it asks for as much.
    pub(super) fn key(&self) -> Option<String> {
        match self.manner {
            Manner::Contains => None,
            Manner::BeginsWith => beginning(&self.text),
            Manner::Exact => beginning(&fold(&self.text)),
        }
    }
}

/// Letters of a text that are indexed: names that begin with the same three are few enough to be looked at.
const LETTERS_INDEXED: usize = 3;

/// The first letters of a folded text; `None` of a shorter one.
pub(super) fn beginning(folded: &str) -> Option<String> {
    let beginning: String = folded.chars().take(LETTERS_INDEXED).collect();
    (beginning.chars().count() == LETTERS_INDEXED).then_some(beginning)
}

/// Lower case, without accents: the letters of Latin-1 and Latin Extended-A by their base letter, marks that combine left
/// out, and spaces as one. Other scripts have their case folded alone.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for char in text.chars().flat_map(char::to_lowercase) {
        match char {
            '\u{300}'..='\u{36f}' => {}
            _ if char.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            _ => match base(char) {
                "" => folded.push(char),
                base => folded.push_str(base),
            },
        }
    }
    folded
}

/// The base of an accented lower-case letter; empty for any other.
fn base(char: char) -> &'static str {
    match char {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ð' | 'ď' | 'đ' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ǒ' | 'ơ' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ǔ' | 'ư' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => "",
    }
}
