//! Tools from end to end: real servers, real processes, a scripted model.

mod everything;
mod misbehaviour;
mod remote;
mod scripted;
