//! What a delivery sends through: an HTTP client, and the tokens of the destination where it wants any.

use std::sync::Arc;

use super::{
    authorizer::{Authorizer, Bearer},
    scope::{Act, Granted, Permit},
    trouble::Trouble,
};
use crate::{
    peer_clock::PeerClock,
    tls::{Certificate, Http, Presented, Role},
    verdict::Attempt,
};

/// The way to one destination; cheap to clone.
#[derive(Clone, Debug)]
pub struct Channel {
    http: Http,
    authorizer: Option<Arc<Authorizer>>,
    /// Its server's clock.
    clock: PeerClock,
}

impl From<reqwest::Client> for Channel {
    /// Without tokens: the connection's certificate proves us.
    fn from(http: reqwest::Client) -> Self {
        Http::from(http).into()
    }
}

impl From<Http> for Channel {
    /// Without tokens: the connection's certificate proves us.
    fn from(http: Http) -> Self {
        Self { http, authorizer: None, clock: PeerClock::default() }
    }
}

impl Channel {
    /// A way with tokens.
    pub fn with_tokens(http: impl Into<Http>, authorizer: Authorizer) -> Self {
        Self { http: http.into(), authorizer: Some(Arc::new(authorizer)), clock: PeerClock::default() }
    }

    /// The client for the next request, with our certificate in force where there is one, and the headers of every request.
    pub fn http(&self) -> reqwest::Client {
        self.http.client()
    }

    /// Its server's clock, by what it answers.
    pub fn clock(&self) -> &PeerClock {
        &self.clock
    }

    /// The clocks of its server and of its token endpoint.
    pub fn clocks(&self) -> impl Iterator<Item = &PeerClock> {
        std::iter::once(&self.clock).chain(self.authorizer.iter().map(|tokens| tokens.clock()))
    }

    /// What is shown on the way, and who is believed; `None` where nothing is sent over it.
    pub fn presented(&self) -> Option<&Arc<Presented>> {
        self.http.presented()
    }

    /// The tokens, where the destination wants any.
    pub fn authorizer(&self) -> Option<&Arc<Authorizer>> {
        self.authorizer.as_ref()
    }

    /// The key that the last token was asked for with, under the name of its destination; none where none is known yet. Reads
    /// files.
    pub fn signing_key(&self) -> Option<Certificate> {
        let authorizer = self.authorizer.as_ref()?;
        let standing = authorizer.standing();
        let (kid, algorithm) = standing.signed_with?;
        let (file, since_s) = authorizer.keys().known_of(&kid);
        let subject = format!("{algorithm} {kid}");
        Some(Certificate {
            role: Role::SigningKey,
            scope: standing.destination,
            file,
            subject,
            ends_s: None,
            since_s,
        })
    }

    /// Takes over the tokens of the way that was in force before this one, where they are asked for in the same way.
    pub fn take_over(&self, before: &Self) {
        if let (Some(tokens), Some(before)) = (&self.authorizer, &before.authorizer) {
            tokens.take_over(before);
        }
    }

    /// Has the token renewed soon; nothing where none is wanted.
    pub fn renew(&self) {
        if let Some(authorizer) = &self.authorizer {
            authorizer.renew();
        }
    }

    /// Forgets the token, so that nothing is sent before another tells what is granted; nothing where none is wanted.
    pub fn forget(&self) {
        if let Some(authorizer) = &self.authorizer {
            authorizer.forget();
        }
    }

    /// The token to show; `None` where none is wanted.
    ///
    /// # Errors
    /// [`Attempt::Unauthorized`] where we are refused, [`Attempt::Unsent`] where nobody answers: in both cases nothing was
    /// sent to the destination.
    pub(crate) async fn bearer(&self) -> Result<Option<Arc<Bearer>>, Attempt> {
        match &self.authorizer {
            None => Ok(None),
            Some(authorizer) => authorizer.bearer().await.map(Some).map_err(|trouble| attempt(&trouble)),
        }
    }

    /// Another token than the one that was refused; `None` where there is none to be had.
    pub(crate) async fn instead_of(&self, refused: &Bearer) -> Option<Arc<Bearer>> {
        self.authorizer.as_ref()?.instead_of(refused).await.ok()
    }

    /// Gets a token where one is wanted and there is none, so that it is known what was granted before anything is
    /// written.
    ///
    /// # Errors
    /// As a request would end.
    pub async fn prepare(&self) -> Result<(), Attempt> {
        self.bearer().await.map(|_| ())
    }

    /// Returns when tokens are to be had again after they were not; never where none are wanted. Whoever slowed down because
    /// there was none need not wait any longer.
    pub async fn recovered(&self) {
        let Some(mut available) = self.authorizer.as_ref().map(|tokens| tokens.available()) else {
            return std::future::pending().await;
        };
        // The sender lives as long as the channel: neither wait ends by itself.
        let had = *available.borrow();
        if had && available.wait_for(|is| !is).await.is_err() {
            return std::future::pending().await;
        }
        if available.wait_for(|is| *is).await.is_err() {
            std::future::pending().await
        }
    }

    /// What was granted last; `None` where no tokens are wanted, or none was had yet: then nothing is known.
    pub fn granted(&self) -> Option<Arc<Granted>> {
        self.authorizer.as_ref()?.granted().borrow().clone()
    }

    /// Why resources of a type may not be created or updated by what was granted; `None` where they may, or where nothing
    /// is known. A fact of class configuration: it holds until another token says otherwise.
    pub fn unpermitted_write(&self, resource: &str) -> Option<String> {
        let granted = self.granted()?;
        let missing: Vec<&str> = [Act::Create, Act::Update]
            .into_iter()
            .filter(|act| granted.permits(*act, resource) == Permit::No)
            .map(Act::word)
            .collect();
        // What may be created and not updated is for the destination to refuse: the first version of a window goes.
        let cause = || format!("the token's scopes do not permit to {} {resource}", missing.join(" or "));
        missing.contains(&Act::Create.word()).then(cause)
    }

    /// What to do where the destination does not accept us.
    pub fn advice(&self) -> &'static str {
        match self.authorizer {
            None => "the destination does not accept our certificate; check its registration and expiry",
            Some(_) => {
                "the destination does not accept our token; check the client's registration and scopes (isthmus status has \
                 what was granted)"
            }
        }
    }
}

fn attempt(trouble: &Trouble) -> Attempt {
    if trouble.lasts() { Attempt::Unauthorized(trouble.cause()) } else { Attempt::Unsent(trouble.cause()) }
}
