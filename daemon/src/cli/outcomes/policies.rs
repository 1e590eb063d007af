//! The policies that `isthmus outcomes` can be asked for: the built-in ones, and those beside the configuration.

use std::path::Path;

use clinical::policy::Policy;

use crate::{cli::BAD_CONFIGURATION, config::load_policies};

/// The exit code for wrong usage, as clap has it.
const WRONG_USAGE: u8 = 2;

/// Where the configuration is. It is read only where a name is no built-in one.
pub(super) struct Policies<'a>(pub(super) &'a Path);

impl Policies<'_> {
    /// The policy of that id. Errs with a line for people and the exit code: 2 where there is none of that id, 78 where a file beside the configuration
    /// is faulty.
    pub(super) fn named(&self, id: &str) -> Result<&'static Policy, (String, u8)> {
        if let Some(policy) = Policy::named(id) {
            return Ok(policy);
        }
        let policies = load_policies(self.0).map_err(|faults| (faults.to_string(), BAD_CONFIGURATION))?;
        match policies.policy(id) {
            // Once for each name of a run: an outcome refers to its policy for as long as it is shown.
            Some(policy) => Ok(Box::leak(Box::new(policy.clone()))),
            None => {
                let known: Vec<&str> = policies.policies().map(|policy| policy.id.as_str()).collect();
                Err((format!("no policy {id:?}; there are {}", known.join(", ")), WRONG_USAGE))
            }
        }
    }
}
