//! mllp
