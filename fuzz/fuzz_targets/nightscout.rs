#![no_main]

use clinical::normalize::file::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| isthmus_fuzz::document::judge(data, Format::Nightscout));
