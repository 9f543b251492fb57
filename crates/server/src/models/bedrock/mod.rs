//! Amazon Bedrock.

pub(super) mod reasoning;
