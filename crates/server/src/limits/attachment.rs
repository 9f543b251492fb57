//! What a file is, by its content.

/// The media type of a file as its content shows it, whatever it is called; `None` for what no model takes. Text is the
/// kind that cannot be told apart by content, so there `claimed` decides among the kinds of text.
#[must_use]
pub fn content_type(bytes: &[u8], claimed: &str) -> Option<&'static str> {
    const TEXT: [&str; 4] = ["text/plain", "text/markdown", "text/csv", "text/html"];
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some("application/pdf"),
        // A short zip file may have nothing in it that text could not have.
        [b'P', b'K', 3, 4, ..] => None,
        _ if bytes.contains(&0) => None,
        _ => {
            std::str::from_utf8(bytes).ok()?;
            let claimed = essence(claimed);
            Some(TEXT.into_iter().find(|text| *text == claimed).unwrap_or("text/plain"))
        }
    }
}

/// A media type without its parameters, in lower case.
#[must_use]
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_decides() {
        let png = b"\x89PNG\r\n\x1a\n....";
        assert_eq!(content_type(png, "image/png"), Some("image/png"));
        assert_eq!(content_type(png, "text/html"), Some("image/png"));
        assert_eq!(content_type(b"<script>alert(1)</script>", "image/png"), Some("text/plain"));
        assert_eq!(content_type(b"a,b\n1,2", "text/csv; charset=utf-8"), Some("text/csv"));
        assert_eq!(content_type(b"MZ\x90\0\x03", "application/pdf"), None);
        assert_eq!(content_type(b"\x7fELF\x02\x01\x01\0", "text/plain"), None);
        assert_eq!(content_type(b"PK\x03\x04", "application/zip"), None);
        assert_eq!(content_type(b"\xff\xfe<", "text/plain"), None);
        assert_eq!(content_type(b"# Title", "Text/Markdown"), Some("text/markdown"));
        assert_eq!(content_type(b"RIFF\0\0\0\0WEBPVP8 ", ""), Some("image/webp"));
    }
}
