//! What a list of sessions shows.

use loquat_agent::message::Message;

use crate::sessions::document::Document;
use crate::sessions::index::Summary;

/// The longest title that is made of a message, in characters.
const TITLE: usize = 80;

/// The first line of a message; a long one is cut after a word, with an ellipsis.
pub(super) fn title_of(message: &Message) -> Option<String> {
    let text = message.text();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let Some((end, _)) = line.char_indices().nth(TITLE) else { return Some(line.to_owned()) };
    // With the ellipsis it is as long as it may be.
    let room = line.char_indices().nth(TITLE - 1).map_or(end, |(at, _)| at);
    let after_word = line[..end].rfind(char::is_whitespace);
    // A word that fills half the title, or a language without blanks, is cut where it must be.
    let at = after_word.filter(|at| *at >= room / 2).unwrap_or_else(|| whole(line, room));
    let kept = line[..at].trim_end_matches(|c: char| c.is_whitespace() || ",;:-–—(".contains(c));
    Some(format!("{kept}…"))
}

/// The last place at or before `at` that is not inside of what people see as one character: an accent belongs to its letter,
/// and emoji are joined out of several.
fn whole(line: &str, at: usize) -> usize {
    const JOINER: char = '\u{200d}';
    let joins = |c: char| {
        matches!(c, JOINER | '\u{0300}'..='\u{036f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}' | '\u{3099}'..='\u{309a}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}'
            | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
    };
    let begins = |at: usize| {
        let (before, after) = line.split_at(at);
        !after.starts_with(joins) && !before.ends_with(JOINER)
    };
    let places = line.char_indices().map(|(place, _)| place).take_while(|place| *place <= at);
    places.filter(|place| begins(*place)).last().filter(|place| *place > 0).unwrap_or(at)
}

/// What a list shows of a session.
#[must_use]
pub fn summary_of(document: &Document) -> Summary {
    let head = &document.head;
    Summary {
        session_id: head.session_id.to_string(),
        title: head.title.clone().unwrap_or_default(),
        created_at: head.created_at.unwrap_or(head.updated_at),
        updated_at: head.updated_at,
        message_count: document.count() as u64,
        run_id: head.run.as_ref().map(|lease| lease.id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(title_of(&Message::user(text)).as_deref(), expected);
    }

    #[test]
    fn a_short_first_line_is_the_title() {
        check("\n  Where is my parcel?  \nIt is late.", Some("Where is my parcel?"));
        check(&"x".repeat(TITLE), Some(&"x".repeat(TITLE)));
        check(" \n\t\n", None);
    }

    #[test]
    fn a_long_one_is_cut_after_a_word() {
        let words =
            "Please compare the three offers for the new printing machine in the second hall, and say why";
        check(words, Some("Please compare the three offers for the new printing machine in the second…"));
        let eighty = format!("{} {}", "a".repeat(39), "b".repeat(40));
        check(&eighty, Some(&eighty));
        check(&format!("{eighty}c"), Some(&format!("{}…", "a".repeat(39))));
        check(&format!("{} {}", "é".repeat(79), "more words"), Some(&format!("{}…", "é".repeat(79))));
        // A word that is as long as the title.
        check(&"x".repeat(200), Some(&format!("{}…", "x".repeat(79))));
        check(&format!("See {}", "x".repeat(200)), Some(&format!("See {}…", "x".repeat(75))));
    }

    #[test]
    fn languages_without_blanks_and_joined_characters_are_cut_where_a_character_ends() {
        check(&"日本語".repeat(40), Some(&format!("{}日…", "日本語".repeat(26))));
        // A letter and its accent, two places each: one that would lose its accent goes as a whole.
        check(&"e\u{301}".repeat(60), Some(&format!("{}…", "e\u{301}".repeat(39))));
        let family = "👩\u{200d}👩\u{200d}👧";
        check(&family.repeat(30), Some(&format!("{}…", family.repeat(15))));
        for n in 0..200 {
            let title = title_of(&Message::user(format!("{}{}", "a".repeat(n), family.repeat(40)))).unwrap();
            assert!(title.chars().count() <= TITLE && title.ends_with('…'), "{title}");
        }
    }
}
