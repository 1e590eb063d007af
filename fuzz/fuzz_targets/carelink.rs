#![no_main]

use isthmus_fuzz::export::{CARELINK, judge};

libfuzzer_sys::fuzz_target!(|data: &[u8]| judge(CARELINK, data));
