#![no_main]

use isthmus_fuzz::export::{XDRIP, judge};

libfuzzer_sys::fuzz_target!(|data: &[u8]| judge(XDRIP, data));
