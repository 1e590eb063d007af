//! Why a window does not go under a form.

/// Why a window does not go; a setting of the site and not a fault of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untaken {
    /// It has another length than the form takes.
    #[error("windows of {takes} days go there, and this one has {has}")]
    Length {
        /// Its length in days.
        has: u32,
        /// The form's.
        takes: u32,
    },
    /// It was computed under a policy that the form does not take.
    #[error("its policy has other ranges than the rows are read by, or is not listed")]
    Policy,
}
