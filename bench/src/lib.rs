//! What Loquat is measured with: the mock model server, which the tests of the providers use as well.

pub mod mock;
