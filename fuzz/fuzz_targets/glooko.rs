#![no_main]

use isthmus_fuzz::export::{GLOOKO, judge};

libfuzzer_sys::fuzz_target!(|data: &[u8]| judge(GLOOKO, data));
