//! What Loquat is measured with: the mock model server, which the tests of the providers use as well; the emulator of API
//! Gateway and the Lambda Runtime API; the load generator; the limit; and the report.

pub mod client;
pub mod hostile;
pub mod lambda_emulator;
pub mod limit;
pub mod load;
pub mod measure;
pub mod mock;
pub mod object_store;
pub mod order;
pub mod overhead;
pub mod process;
pub mod profile;
pub mod report;
pub mod soak;
pub mod stats;
pub mod systems;
pub mod wire;
