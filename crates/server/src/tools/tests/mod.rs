//! Tools from end to end: real servers, real processes, a scripted model.

mod everything;
mod misbehaviour;
mod python;
mod remote;
mod scripted;
