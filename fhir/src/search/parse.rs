//! Parameters of a request, read as a search.

use super::{
    CURSOR, Context, Cursor, Handling, Include, MOST_COUNT, MOST_ELEMENTS, MOST_INCLUDES, MOST_PARAMETERS,
    MOST_VALUE_BYTES, MOST_VALUES, MOST_VALUES_IN_ALL, Order, Parameter, Parsed, Query, Summary, Total, Type,
    date::Date,
    escape::{split, unescape},
    filter::{Asked, Filter, Manner},
    include::Refused,
    parameter,
    quantity::Quantity,
    reference::Wanted,
    string::{self, Text},
    token::Token,
};
use crate::{Code, Issue, Kind};

/// Letters of a parameter's name that are told back.
const NAME_LETTERS_TOLD: usize = 64;
/// Parameters of a search that may stand there once.
const ONCE: [&str; 6] = ["_count", "_sort", "_total", "_summary", "_elements", CURSOR];

impl Query {
    /// The search for resources of `kind` that these parameters ask for, decoded, in the order of the request.
    ///
    /// # Errors
    /// Every fault that there is: parameters that are not known (in strict handling), values and modifiers that are not
    /// understood, bounds that are exceeded.
    pub fn parse(
        kind: Kind,
        parameters: &[(String, String)],
        handling: Handling,
        context: &Context,
    ) -> Result<Parsed, Vec<Issue>> {
        if parameters.len() > MOST_PARAMETERS {
            let most = format!("A search has at most {MOST_PARAMETERS} parameters.");
            return Err(vec![Issue::error(Code::TooCostly, most)]);
        }
        // A base without a scheme would make a relative reference of an absolute one.
        let bases = context.bases.iter().filter(|base| base.contains("://")).cloned().collect();
        let mut reader =
            Reader { query: Self::all(kind, bases), issues: Vec::new(), handling, now_ms: context.now_ms };
        for (at, (name, value)) in parameters.iter().enumerate() {
            let again =
                ONCE.contains(&name.as_str()) && parameters[..at].iter().any(|(known, _)| known == name);
            let read = if again {
                Err(Issue::error(Code::Invalid, "This parameter may stand in a search once.").at(place(name)))
            } else {
                reader.read(name, value)
            };
            if let Err(issue) = read {
                reader.issues.push(issue);
            }
        }
        if let Some((_, text)) = parameters.iter().find(|(name, _)| name == CURSOR) {
            match Cursor::read(text, &reader.query) {
                Ok(cursor) => reader.query.cursor = Some(cursor),
                Err(issue) => reader.issues.push(issue),
            }
        }
        if reader.issues.iter().any(Issue::is_error) {
            reader.issues.retain(Issue::is_error);
            return Err(reader.issues);
        }
        Ok(Parsed { query: reader.query, issues: reader.issues })
    }
}

impl Query {
    /// The search of a condition (`If-None-Exist`, a conditional update): read strictly, narrowed by something else than
    /// the kind, and without parameters that say what an answer looks like.
    ///
    /// # Errors
    /// As [`Self::parse`] in strict handling, and where it is no condition.
    pub fn condition(
        kind: Kind,
        parameters: &[(String, String)],
        context: &Context,
    ) -> Result<Self, Vec<Issue>> {
        let query = Self::parse(kind, parameters, Handling::Strict, context)?.query;
        let of_the_answer = parameters.iter().filter(|(name, _)| {
            let bare = name.split(':').next().unwrap_or(name);
            bare.starts_with('_') && parameter::named(kind, bare).is_none()
        });
        let mut issues: Vec<Issue> = of_the_answer
            .map(|(name, _)| Issue::error(Code::Invalid, "This is no part of a condition.").at(place(name)))
            .collect();
        if !query.is_narrow() {
            issues.push(Issue::error(
                Code::Invalid,
                "A condition names what it looks for, such as an identifier.",
            ));
        }
        if issues.is_empty() { Ok(query) } else { Err(issues) }
    }
}

struct Reader {
    query: Query,
    issues: Vec<Issue>,
    handling: Handling,
    now_ms: i64,
}

impl Reader {
    fn read(&mut self, name: &str, value: &str) -> Result<(), Issue> {
        let (bare, modifier) = name.split_once(':').map_or((name, None), |(a, b)| (a, Some(b)));
        if matches!(bare, "_format" | "_pretty" | CURSOR) {
            return Ok(());
        }
        if value.is_empty() {
            return Err(Issue::error(Code::Value, "The parameter has no value.").at(place(name)));
        }
        if bare.starts_with('_') && self.read_of_the_answer(name, value)? {
            return Ok(());
        }
        match parameter::named(self.query.kind, bare) {
            Some(parameter) => self.read_filter(parameter, name, modifier, value),
            None if bare.contains('.') || name.starts_with("_has:") => self.unknown(
                name,
                "Searches are not chained; search for the other resource first, then by its id, such as patient=id.",
            ),
            None => self.unknown(name, "This search parameter is not supported for this kind of resource."),
        }
    }

    /// What is not known: refused or left out.
    fn unknown(&mut self, name: &str, what: &str) -> Result<(), Issue> {
        match self.handling {
            Handling::Strict => Err(Issue::error(Code::NotSupported, what).at(place(name))),
            Handling::Lenient => {
                let left_out = format!("{what} It was left out.");
                self.issues.push(Issue::warning(Code::NotSupported, left_out).at(place(name)));
                Ok(())
            }
        }
    }

    fn apply(&mut self, name: &str, value: impl Into<String>) {
        self.query.applied.push((name.to_owned(), value.into()));
    }

    /// Parameters that say what the answer looks like. Whether it was one.
    fn read_of_the_answer(&mut self, name: &str, value: &str) -> Result<bool, Issue> {
        let fault = |what: &str| Issue::error(Code::Value, what).at(place(name));
        match name {
            "_count" => {
                let count = value.parse::<u32>().map_err(|_| fault("Write a whole number, 0 or more."))?;
                let count = count.min(MOST_COUNT);
                self.query.count = Some(count);
                if count == 0 {
                    self.query.summary = Summary::Count;
                }
                self.apply(name, count.to_string());
            }
            "_total" => {
                let what = "Write none, estimate or accurate.";
                self.query.total = Total::named(value).ok_or_else(|| fault(what))?;
                self.apply(name, value);
            }
            "_summary" => {
                let what = "Write true, false, text, data or count.";
                let summary = Summary::named(value).ok_or_else(|| fault(what))?;
                if self.query.summary != Summary::Count {
                    self.query.summary = summary;
                }
                self.apply(name, value);
            }
            "_elements" => {
                let names: Vec<&str> = value.split(',').map(str::trim).collect();
                let is_name = |name: &&str| {
                    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                };
                if names.len() > MOST_ELEMENTS || !names.iter().all(is_name) {
                    return Err(fault("Write names of elements of the resource itself, parted by commas."));
                }
                self.query.elements = names.into_iter().map(str::to_owned).collect();
                self.apply(name, value);
            }
            "_sort" => self.read_sort(name, value)?,
            "_include" | "_revinclude" => self.read_include(name, value)?,
            _ if name.starts_with("_include:") || name.starts_with("_revinclude:") => {
                let what = "Includes are followed one step; leave the modifier out.";
                return Err(Issue::error(Code::NotSupported, what).at(place(name)));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_sort(&mut self, name: &str, value: &str) -> Result<(), Issue> {
        let (key, descending) = value.strip_prefix('-').map_or((value, false), |key| (key, true));
        let order = match (key, parameter::clinical_time(self.query.kind)) {
            ("_lastUpdated", _) => Some(Order::Updated),
            ("date", Some(_)) => Some(Order::Date),
            (key, Some(clinical)) if key == clinical.name => Some(Order::Date),
            _ => None,
        };
        let Some(order) = order else {
            return self.unknown(name, "Sorted is by one of date (where the kind has one) and _lastUpdated.");
        };
        self.query.order = Some((order, descending));
        self.apply(name, value);
        Ok(())
    }

    fn read_include(&mut self, name: &str, value: &str) -> Result<(), Issue> {
        if self.query.includes.len() >= MOST_INCLUDES {
            let most = format!("A search includes at most {MOST_INCLUDES} references.");
            return Err(Issue::error(Code::TooCostly, most).at(place(name)));
        }
        let read = if name == "_include" { Include::of_include } else { Include::of_revinclude };
        match read(value, self.query.kind) {
            Ok(include) => {
                self.query.includes.push(include);
                self.apply(name, value);
                Ok(())
            }
            Err(Refused::Form) => {
                let what = "Write Kind:parameter or Kind:parameter:Kind.";
                Err(Issue::error(Code::Value, what).at(place(name)))
            }
            Err(Refused::Unknown) => self.unknown(name, "This reference is not one that can be included."),
        }
    }

    fn read_filter(
        &mut self,
        parameter: &'static Parameter,
        name: &str,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<(), Issue> {
        let filter = match modifier {
            Some("missing") if parameter.modifiers().contains(&"missing") => {
                let missing = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(Issue::error(Code::Value, "Write true or false.").at(place(name))),
                };
                Filter { parameter, manner: Manner::Missing(missing), values: Vec::new() }
            }
            _ => self.read_values(parameter, name, modifier, value)?,
        };
        self.query.filters.push(filter);
        self.apply(name, value);
        Ok(())
    }

    fn read_values(
        &mut self,
        parameter: &'static Parameter,
        name: &str,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Filter, Issue> {
        let manner = manner(parameter, modifier).ok_or_else(|| {
            Issue::error(Code::NotSupported, "This parameter does not have this modifier.").at(place(name))
        })?;
        let parts = split(value, ',');
        if parts.len() > MOST_VALUES {
            let most = format!("A parameter has at most {MOST_VALUES} values.");
            return Err(Issue::error(Code::TooCostly, most).at(place(name)));
        }
        let before: usize = self.query.filters.iter().map(|filter| filter.values.len()).sum();
        if before + parts.len() > MOST_VALUES_IN_ALL {
            let most = format!("A search has at most {MOST_VALUES_IN_ALL} values.");
            return Err(Issue::error(Code::TooCostly, most).at(place(name)));
        }
        if parts.iter().any(|part| part.len() > MOST_VALUE_BYTES) {
            let most = format!("A value has at most {MOST_VALUE_BYTES} bytes.");
            return Err(Issue::error(Code::TooLong, most).at(place(name)));
        }
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            let asked = self.asked(parameter, manner, modifier, part);
            values.push(
                asked.ok_or_else(|| Issue::error(Code::Value, form(parameter, manner)).at(place(name)))?,
            );
            if parameter.kind_of == Type::Date && is_without_offset(part) {
                let what = "A time without an offset was read as UTC.";
                self.issues.push(
                    Issue {
                        severity: crate::Severity::Information,
                        ..Issue::warning(Code::Informational, what)
                    }
                    .at(place(name)),
                );
            }
        }
        Ok(Filter { parameter, manner, values })
    }

    fn asked(
        &self,
        parameter: &Parameter,
        manner: Manner,
        modifier: Option<&str>,
        part: &str,
    ) -> Option<Asked> {
        if part.is_empty() {
            return None;
        }
        let text = |manner| Asked::Text(Text::new(&unescape(part), manner));
        Some(match (manner, parameter.kind_of) {
            (Manner::Text, _) => text(string::Manner::BeginsWith),
            (Manner::Identifier, _) | (_, Type::Token) => Asked::Token(Token::parse(part)?),
            (_, Type::Reference) => {
                Asked::Reference(Wanted::parse(part, modifier, parameter, &self.query.bases)?)
            }
            (_, Type::Date) => Asked::Date(Date::parse(&unescape(part), self.now_ms)?),
            (_, Type::String) => text(match modifier {
                Some("exact") => string::Manner::Exact,
                Some("contains") => string::Manner::Contains,
                _ => string::Manner::BeginsWith,
            }),
            (_, Type::Quantity) => Asked::Quantity(Quantity::parse(part)?),
            (_, Type::Uri) => Asked::Uri(unescape(part)),
        })
    }
}

/// How the values are compared; `None` where the parameter does not have the modifier.
fn manner(parameter: &Parameter, modifier: Option<&str>) -> Option<Manner> {
    let Some(modifier) = modifier else { return Some(Manner::Plain) };
    if parameter.modifiers().contains(&modifier) {
        return Some(match modifier {
            "not" => Manner::Not,
            "text" => Manner::Text,
            "identifier" => Manner::Identifier,
            _ => Manner::Plain,
        });
    }
    let is_kind = if parameter.targets.is_empty() {
        Kind::named(modifier).is_some()
    } else {
        parameter.targets.contains(&modifier)
    };
    (parameter.kind_of == Type::Reference && is_kind).then_some(Manner::Plain)
}

/// How a value is to be written.
fn form(parameter: &Parameter, manner: Manner) -> &'static str {
    match (manner, parameter.kind_of) {
        (Manner::Identifier, _) | (_, Type::Token) => "Write code, system|code, system| or |code.",
        (_, Type::Reference) => "Write Kind/id, id or an absolute URL, without a version.",
        (_, Type::Date) => "Write a date or a time such as ge2026-01-31 or lt2026-01-31T10:00:00Z.",
        (_, Type::String | Type::Uri) => "Write a text.",
        (_, Type::Quantity) => {
            "Write a number such as gt180, 5.4|http://unitsofmeasure.org|mmol/L or 97||mg/dL."
        }
    }
}

fn is_without_offset(text: &str) -> bool {
    text.split_once('T').is_some_and(|(_, time)| !time.contains(['Z', '+', '-', ' ']))
}

/// Where a fault is: `http.` and as much of a parameter's name as is one, 64 letters at the most.
pub fn place(name: &str) -> String {
    let is_letter = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | ':' | '.');
    format!("http.{}", name.chars().filter(is_letter).take(NAME_LETTERS_TOLD).collect::<String>())
}
