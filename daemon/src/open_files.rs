//! The system's limit of open files, against the connections that the configuration allows.
//!
//! A process that runs into the limit accepts nothing more, and cannot open its own files either. Most systems
//! give a soft limit of 1,024 and a hard one far above: the soft one is raised at the start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Open files beside the connections: the database and its log, readers of it, sockets of deliveries (at most 64
/// for each of some destinations), of health and status, and the files that are read.
const BESIDE_CONNECTIONS: u64 = 256;

/// Raises the soft limit to the hard one, and tells in the log where that is not enough.
pub fn raise(config: &Config) {
    raise_soft();
    if let Some(note) = shortfall(config) {
        tracing::warn!("{note}");
    }
}

/// Raises the soft limit to the hard one; where the system does not let us, that is told in the log.
pub fn raise_soft() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

/// What to do where the configuration allows more connections than this process may have files; `None` where it
/// may have enough.
pub fn shortfall(config: &Config) -> Option<String> {
    let connections = config.main.mllp.iter().map(|listener| u64::from(listener.limits.max_connections));
    let fhir = config.main.fhir.as_ref().map_or(0, |fhir| u64::from(fhir.listener.max_connections));
    told(connections.sum::<u64>() + fhir, getrlimit(Resource::Nofile).maximum)
}

/// `hard` is the hard limit; `None` is none.
fn told(connections: u64, hard: Option<u64>) -> Option<String> {
    let needed = connections + BESIDE_CONNECTIONS;
    let hard = hard.filter(|hard| *hard < needed)?;
    Some(format!(
        "the listeners allow {connections} connections, and this process may have {hard} open files; lower \
         max_connections, or raise the hard limit to {needed} or more (LimitNOFILE= in the unit, ulimit -Hn)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_files_are_told_and_enough_files_are_not() {
        for (connections, hard, enough) in
            [(256, Some(512), true), (257, Some(512), false), (4096, Some(1024), false), (4096, None, true)]
        {
            assert_eq!(told(connections, hard).is_none(), enough, "{connections} {hard:?}");
        }
        assert!(told(300, Some(500)).unwrap().contains("556"), "it says how many are needed");
    }
}
