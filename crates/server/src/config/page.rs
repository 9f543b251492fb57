//! What people see of the agent on the page: its name, words, picture and colour.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::raw::RawConfig;
use super::{ConfigError, PageConfig, file};

/// The page reads the picture with its first request, so it has to be small.
const LOGO_BYTES: usize = 64 * 1024;

/// What browsers show as a picture, by the ending of the file's name.
const PICTURES: &[(&str, &str)] = &[
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
];

/// The checked settings. `folder` is where relative paths begin.
pub(super) fn page(raw: &RawConfig, folder: &Path, places: &file::Places) -> Result<PageConfig, ConfigError> {
    let page = raw.page.clone().unwrap_or_default();
    if let Some(accent) = &page.accent {
        let digits = accent.strip_prefix('#').unwrap_or_default();
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(places.wrong("page.accent", accent, "a colour as #rrggbb"));
        }
    }
    let logo = match page.logo {
        Some(logo) => Some(picture(&logo, folder).map_err(|error| {
            let expected = format!(
                "a picture beside this file, a path on the page's own host (/…) or a data:image/… URL{error}"
            );
            places.wrong("page.logo", &logo, &expected)
        })?),
        None => None,
    };
    Ok(PageConfig {
        name: page.name.unwrap_or_else(|| "Loquat".to_owned()),
        greeting: page.greeting,
        suggestions: page.suggestions,
        logo,
        accent: page.accent,
    })
}

/// The address of a picture: as it is, or that of what a file holds, so that the page needs no further request and the
/// file goes wherever the configuration goes.
fn picture(logo: &str, folder: &Path) -> Result<String, String> {
    if logo.starts_with('/') || logo.starts_with("data:image/") {
        return Ok(logo.to_owned());
    }
    if logo.contains("://") {
        return Err(String::new());
    }
    let ending = Path::new(logo).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let Some((_, kind)) = PICTURES.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)) else {
        return Err(" (its name says no known kind of picture)".to_owned());
    };
    let bytes = std::fs::read(folder.join(logo)).map_err(|error| format!(" ({error})"))?;
    if bytes.len() > LOGO_BYTES {
        return Err(format!(" (it has {} bytes, more than {LOGO_BYTES})", bytes.len()));
    }
    Ok(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}
