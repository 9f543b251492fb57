//! What Loquat is measured with: the mock model server, which the tests of the providers use as well, and the
//! emulator of API Gateway and the Lambda Runtime API.

pub mod lambda_emulator;
pub mod mock;
