//! Two ways to serve one router: a listener, and AWS Lambda's runtime API.

pub mod connections;
pub mod lambda;
pub mod listener;
