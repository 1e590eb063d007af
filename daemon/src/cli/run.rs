//! `isthmus run`: the daemon.

use std::{future::Future, os::unix::fs::MetadataExt, path::Path, process::ExitCode, time::Duration};

use rustix::process::geteuid;
use tokio::runtime::Runtime;

use super::{BAD_CONFIGURATION, FAILED, credentials, failed, runtime};
use crate::{app, config};

/// How long the process waits, once everything is stored, for a thread that does not come back: one that reads a folder
/// on a network mount that is gone waits for ever, and what it holds nobody has acknowledged.
const THREADS_LEFT: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to stop.
pub(super) fn run(config: &Path) -> ExitCode {
    if let Some(why) = not_ours(config) {
        return failed(&why, FAILED);
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, FAILED),
    };
    match to_the_end(runtime, app::run(config, credentials())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is_configuration() { BAD_CONFIGURATION } else { FAILED };
            failed(&error, code)
        }
    }
}

/// Why root does not run the daemon over these files: what it made there, the service's user could not open afterwards.
fn not_ours(config: &Path) -> Option<String> {
    let folder = config::store_places(config).ok()?.data_dir;
    let owner = folder.metadata().ok()?.uid();
    (geteuid().is_root() && owner != 0).then(|| {
        format!(
            "{} belongs to user {owner}, and root's files there would keep that user out; start the service \
             (systemctl start isthmus), or run this as that user",
            folder.display()
        )
    })
}

/// Runs to the end of `work`, and leaves behind what blocks a thread for longer than [`THREADS_LEFT`] after that.
fn to_the_end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_LEFT);
    result
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Instant};

    use super::*;

    #[test]
    fn a_thread_that_never_comes_back_does_not_hold_the_stop() {
        let (gone, never) = mpsc::channel::<()>();
        let (sender, ended) = mpsc::channel();
        let began = Instant::now();
        let (entered, inside) = mpsc::channel();
        std::thread::spawn(move || {
            let work = async move {
                tokio::task::spawn_blocking(move || (entered.send(()), never.recv().is_err()));
                tokio::task::yield_now().await;
                7
            };
            sender.send(to_the_end(runtime().unwrap(), work)).unwrap();
        });
        inside.recv_timeout(THREADS_LEFT).unwrap();
        assert_eq!(ended.recv_timeout(THREADS_LEFT * 5), Ok(7), "after {:?}", began.elapsed());
        drop(gone);
    }
}
