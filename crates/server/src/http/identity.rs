//! Who a client says it is, in a body or an address, where no credential stands behind it.
//!
//! Clients of other services send such members along. Who is asking follows from the credential alone, so they mean
//! nothing here: they are passed over, where any other member that is not known is refused as a mistake.

/// The names under which clients say who they are, unless a route knows the name for something of its own.
const NAMES: [&str; 14] = [
    "user",
    "user_id",
    "userId",
    "username",
    "user_name",
    "owner",
    "owner_id",
    "ownerId",
    "sub",
    "subject",
    "principal",
    "tenant",
    "tenant_id",
    "tenantId",
];

/// Whether this name says who somebody is.
pub(super) fn is_claim(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The name that serde complains of, if it is one of these.
pub(super) fn claimed(complaint: &str) -> Option<&str> {
    let rest = complaint.strip_prefix("unknown field `")?;
    rest.split_once('`').map(|(name, _)| name).filter(|name| is_claim(name))
}
