//! The grammar of the expressions the router may write: numbers of the question, operators, brackets.

use super::vocabulary::Vocabulary;

/// The characters an expression is written with. A question without brackets needs none.
const CHARACTERS: &str = "0123456789.+-*/%";
const WORDS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// The tokens an expression can be written with.
pub(super) struct Grammar {
    pieces: Vec<(u32, String)>,
}

impl Grammar {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let pieces = vocabulary.tokens_of(|text| text.chars().all(|c| CHARACTERS.contains(c)));
        Self { pieces }
    }

    /// The best token to go on with by `scores`; `None` where the expression is whole and should end.
    pub(super) fn next(&self, expression: &str, numbers: &[String], scores: &[f32]) -> Option<(u32, &str)> {
        let allowed = self.pieces.iter().filter(|(_, piece)| {
            let longer = format!("{expression}{}", piece.trim_start());
            may_go_on(&longer, numbers)
        });
        let score = |id: u32| scores.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let best = allowed.max_by(|a, b| score(a.0).total_cmp(&score(b.0)))?;
        if is_whole(expression, numbers) {
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            // Anything else than an expression's token is its end.
            if score(best.0) < most {
                return None;
            }
        }
        Some((best.0, best.1.trim_start()))
    }
}

/// The numbers in a text, as they may stand in an expression: digits without thousands separators, number words as
/// digits.
pub(super) fn numbers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let characters: Vec<char> = text.chars().chain([' ']).collect();
    for (index, c) in characters.iter().enumerate() {
        let next_is_digit = characters.get(index + 1).is_some_and(char::is_ascii_digit);
        match c {
            '0'..='9' => current.push(*c),
            '.' if !current.is_empty() && next_is_digit => current.push('.'),
            ',' if !current.is_empty() && next_is_thousands(&characters[index + 1..]) => {}
            _ if !current.is_empty() => found.push(std::mem::take(&mut current)),
            _ => {}
        }
    }
    for word in text.split(|c: char| !c.is_alphabetic()) {
        if let Some(value) = WORDS.iter().position(|name| name.eq_ignore_ascii_case(word)) {
            found.push(value.to_string());
        }
    }
    found
}

fn next_is_thousands(rest: &[char]) -> bool {
    rest.iter().take_while(|c| c.is_ascii_digit()).count() == 3
}

/// The expression that stands in a question as it is, if one does.
pub(super) fn literal(question: &str) -> Option<String> {
    let is_part = |c: char| CHARACTERS.contains(c) || c == '(' || c == ')' || c == ' ';
    let runs = question.split(|c: char| !is_part(c));
    let bare = runs.map(|run| run.replace(' ', "").trim_end_matches('.').to_owned());
    // "3 4" would become 34: the numbers tell whether a space stood between digits.
    bare.filter(|run| run.contains(['+', '-', '*', '/']) && is_whole(run, &numbers(question)))
        .max_by_key(String::len)
}

/// Whether a text is the beginning of an expression over these numbers.
fn may_go_on(text: &str, numbers: &[String]) -> bool {
    walk(text, numbers).is_some()
}

/// Whether a text is a whole expression: something to compute, all brackets closed.
pub(super) fn is_whole(text: &str, numbers: &[String]) -> bool {
    walk(text, numbers)
        .is_some_and(|end| end.complete && end.open == 0 && text.contains(['+', '-', '*', '/', '%']))
}

/// Where an expression stands after its last character.
struct End {
    /// It could stop here.
    complete: bool,
    /// Brackets still open.
    open: u32,
}

/// Reads a text as an expression; `None` where it is not the beginning of one. Each number may be used as often as it
/// is in `numbers`.
fn walk(text: &str, numbers: &[String]) -> Option<End> {
    let mut left: Vec<&String> = numbers.iter().collect();
    let mut open = 0_u32;
    // Whether a value stands to the left, and the digits of the number being read.
    let mut value = false;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() || c == '.' {
            if value && number.is_empty() {
                return None;
            }
            number.push(c);
            value = true;
            if !left.iter().any(|known| known.starts_with(&number)) {
                return None;
            }
            continue;
        }
        if !number.is_empty() {
            let used = left.iter().position(|known| **known == number)?;
            left.swap_remove(used);
            number.clear();
        }
        match c {
            '(' if !value => open += 1,
            ')' if value && open > 0 => open -= 1,
            '%' if value && !text.contains("%%") => {}
            '+' | '-' | '*' | '/' if value => value = false,
            _ => return None,
        }
    }
    let complete = value && (number.is_empty() || left.iter().any(|known| **known == number));
    Some(End { complete, open })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(numbers: &[&str]) -> Vec<String> {
        numbers.iter().map(|&number| number.to_owned()).collect()
    }

    #[test]
    fn finds_numbers() {
        assert_eq!(numbers("What is 17*23?"), ["17", "23"]);
        assert_eq!(numbers("1,250.5 plus seven, 3."), ["1250.5", "3", "7"]);
        assert_eq!(numbers("1,2 and 15%"), ["1", "2", "15"]);
        assert!(numbers("Hello someone").is_empty());
    }

    #[test]
    fn only_the_questions_numbers_may_be_written() {
        let numbers = list(&["17", "23"]);
        for text in ["", "1", "17", "17*", "17*(", "17*(23", "23%*17"] {
            assert!(may_go_on(text, &numbers), "{text}");
        }
        for text in ["7", "18", "17*3", "17*17", "17**", "*", ")", "17(", "1*", "17)", "17%%", "17*23)"] {
            assert!(!may_go_on(text, &numbers), "{text}");
        }
    }

    #[test]
    fn copies_what_is_written_out() {
        for (question, expression) in [
            ("What is 17*23?", Some("17*23")),
            ("Calculate 3.5 + 4.25.", Some("3.5+4.25")),
            ("(8+2)*9?", Some("(8+2)*9")),
            ("What is 15% of 80?", None),
            ("7 apples at 3 euros - how much?", None),
            ("3 4 + 1", None),
        ] {
            assert_eq!(literal(question).as_deref(), expression, "{question}");
        }
    }

    #[test]
    fn knows_a_whole_expression() {
        let numbers = list(&["8", "2", "9"]);
        for (text, whole) in [("(8+2)*9", true), ("8+", false), ("(8+2", false), ("8", false), ("8%", true)] {
            assert_eq!(is_whole(text, &numbers), whole, "{text}");
        }
    }
}
