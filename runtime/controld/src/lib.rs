//! controld.
