//! isthmus
