//! What no client should send: methods and paths that do not belong together, targets that are torn, headers that contradict.

use super::{
    mutate, query,
    request::{Maker, Request, WORD},
};

impl Maker<'_> {
    /// Methods and paths that do not belong together, or to nothing.
    pub(super) fn stray(&mut self, is_r5: bool) -> Request {
        let method =
            ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "FHIR"][self.dice.below(9)];
        let (kind, reference) = (self.kind(), self.reference(None));
        let target = match self.dice.below(12) {
            0 => kind.to_owned(),
            1 => reference,
            2 => format!("{reference}/{kind}"),
            3 => format!("{kind}/_history"),
            4 => format!("{kind}/$everything"),
            5 => format!("{reference}/$validate"),
            6 => "$export".to_owned(),
            7 => format!("{kind}/{}/{}", "a".repeat(self.dice.below(400)), WORD),
            8 => ["metadata", "_history", "_search", ".well-known/smart-configuration", "../metadata"]
                [self.dice.below(5)]
            .to_owned(),
            9 => format!(
                "{kind}/%{}",
                self.dice.one(&["", "zz", "ff", "00", "2e%2e", "c0%af", "ed%a0%80", "0a", "2F"])
            ),
            10 => format!("{kind}//{reference}"),
            _ => format!("*{kind}"),
        };
        let body = self.dice.once_in(2).then(|| {
            let resource = self.resource("Observation", is_r5);
            mutate::changed(resource, 2, &mut self.dice, WORD)
        });
        self.of(method, target, body)
    }

    /// A target that no client should write.
    pub(super) fn torn(&mut self, target: &str) -> String {
        match self.dice.below(8) {
            0 => format!("{target}#fragment"),
            1 => format!("{target}?{}", "a=b&".repeat(self.dice.below(4_000))),
            2 => format!("{target}?a=%"),
            3 => format!("https://evil.example{target}"),
            4 => format!("{target}?\"<>\\^`{{|}}"),
            5 => format!("{target}é"),
            6 => target.replace('/', "//"),
            _ => format!("{target}&a%00=%ff"),
        }
    }

    pub(super) fn headers(&mut self, request: &mut Request, is_r5: bool) {
        if request.body.is_some() && !request.headers.iter().any(|(name, _)| name == "Content-Type") {
            let sound =
                if is_r5 { "application/fhir+json; fhirVersion=5.0" } else { "application/fhir+json" };
            let kind = match self.dice.below(20) {
                0 => self.dice.one(&[
                    "application/json",
                    "text/plain",
                    "application/fhir+xml",
                    "application/fhir+json; fhirVersion=3.0",
                    "application/fhir+json; charset=utf-16",
                    "application/fhir+json; fhirVersion=5.0",
                    "application/x-www-form-urlencoded",
                    ";;;",
                    "",
                ]),
                _ => sound,
            };
            request.headers.push(("Content-Type".into(), kind.into()));
        }
        for _ in 0..self.dice.below(6).saturating_sub(3) {
            let (name, values) = query::HEADERS[self.dice.below(query::HEADERS.len())];
            request.headers.push((name.to_owned(), self.dice.one(values).to_owned()));
        }
        if self.dice.once_in(100) {
            request.headers.push(("X-Long".into(), "a".repeat(self.dice.below(80_000))));
        }
        if self.dice.once_in(100) {
            let many = self.dice.below(130);
            request.headers.extend((0..many).map(|at| (format!("X-{at}"), "1".to_owned())));
        }
    }
}
