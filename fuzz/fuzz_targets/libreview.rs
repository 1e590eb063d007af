#![no_main]

use isthmus_fuzz::export::{LIBREVIEW, judge};

libfuzzer_sys::fuzz_target!(|data: &[u8]| judge(LIBREVIEW, data));
