//! The ways to serve the one router.

pub mod lambda;
