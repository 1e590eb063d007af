#![no_main]

use clinical::normalize::file::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| isthmus_fuzz::exports::judge(data, Format::AppleHealth));
