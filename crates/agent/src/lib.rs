//! What an agent is.
