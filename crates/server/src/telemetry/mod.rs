//! What the service tells its operator.

pub mod logs;
