//! Time as the processor spent it on this thread: what marks for one core are about. A machine that is busy with other
//! work takes longer by the clock on the wall, and only a little longer by this one (for its caches are shared).

use std::time::Duration;

use criterion::{
    Criterion,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use rustix::time::{ClockId, clock_gettime};

/// Measures by the processor's time.
pub(crate) struct CpuTime;

/// A benchmark by the processor's time.
pub(crate) fn on_one_core() -> Criterion<CpuTime> {
    Criterion::default().with_measurement(CpuTime)
}

impl CpuTime {
    fn now() -> Duration {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        let (seconds, nanoseconds) = (u64::try_from(spent.tv_sec), u32::try_from(spent.tv_nsec));
        Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
