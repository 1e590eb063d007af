#![no_main]

use isthmus_fuzz::export::{CLARITY, judge};

libfuzzer_sys::fuzz_target!(|data: &[u8]| judge(CLARITY, data));
