//! Names of devices, as a file has them: bounded in length and in number, whatever the format.

/// Most bytes of a device's name that are kept: ten times the longest seen. Longer ones with the same beginning are one
/// device.
pub(super) const MAX_DEVICE_BYTES: usize = 256;
/// Most devices of a file, rows of other kinds included: a week's sensor for 190 years. A file with more is no person's,
/// and each holds room of its own.
pub(super) const MAX_DEVICES: usize = 10_000;

/// What is kept of a name.
pub(super) fn bounded(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_DEVICE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_at_its_bound_and_never_within_a_character() {
        for (name, kept) in [("a".repeat(256), 256), ("a".repeat(257), 256), ("é".repeat(128) + "x", 256)] {
            assert_eq!(bounded(&name).len(), kept);
        }
        assert_eq!(bounded(&("a".to_owned() + &"é".repeat(200))).len(), 255);
        assert_eq!(bounded(""), "");
    }
}
