//! The one TLS provider of the process.

/// Makes `ring` the process's TLS provider. Cheap and safe to call more than once; every part that opens a TLS
/// connection through `reqwest` calls it first.
pub fn install() {
    // An error means that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
