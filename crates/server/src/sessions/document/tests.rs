//! What is written is read back, by us and by others.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-02-11T09:00:00Z".parse().unwrap()
}
fn new() -> Document {
    Document::new(SessionId::parse("abc").unwrap(), Some("me"), now())
}

#[test]
fn a_file_of_the_reference_opens_and_continues() {
    for updated_at in ["2026-02-11T09:00:00Z", "2026-02-11T09:00:00.123456", "2026-02-11T09:00:00+00:00"] {
        let file = json!({
            "session_id": "abc",
            "messages": [{"role": "user", "content": [{"text": "hi"}]}, {"role": "assistant", "content": [{"text": "ho"}]}],
            "updated_at": updated_at,
            "agent_state": {"x": 1},
        });
        let mut document = Document::parse(file.to_string().into()).unwrap();
        assert_eq!(document.count(), 2);
        document.append(&[Message::user("more")]);
        let again = Document::parse(document.encode()).unwrap();
        assert_eq!(again.count(), 3);
        assert_eq!(again.head.others["agent_state"], json!({"x": 1}));
        let whole: Value = serde_json::from_slice(&document.encode()).unwrap();
        assert_eq!(whole["messages"][1]["content"][0]["text"], "ho");
        assert_eq!(whole["session_id"], "abc");
    }
}

#[test]
fn a_file_changed_by_another_program_is_parsed_as_a_whole() {
    let mut document = new();
    document.append(&[Message::user("one"), Message::assistant("two")]);
    let mut file: Value = serde_json::from_slice(&document.encode()).unwrap();
    file["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": [{"text": "three"}]}));
    // Key order and spacing of two other programs.
    for text in [file.to_string(), serde_json::to_string_pretty(&file).unwrap()] {
        let document = Document::parse(text.into()).unwrap();
        assert_eq!(document.count(), 3);
        assert_eq!(document.last(1).unwrap()[0].text(), "three");
    }
    // The same bytes with one message more: the layout no longer fits.
    let text = String::from_utf8(document.encode().to_vec()).unwrap();
    let longer = text.replace(r#"],"branches""#, r#",{"role":"user","content":[{"text":"x"}]}],"branches""#);
    assert_eq!(Document::parse(longer.into()).unwrap().count(), 3);
}

#[test]
fn what_is_no_session_is_refused() {
    for file in [
        "",
        "[]",
        "{}",
        r#"{"session_id":"a/b","updated_at":"2026-02-11T09:00:00Z"}"#,
        r#"{"session_id":"a","updated_at":"yesterday","messages":[]}"#,
        r#"{"session_id":"a","updated_at":"2026-02-11T09:00:00Z","messages":[{"role":"system","content":[]}]}"#,
    ] {
        assert!(Document::parse(file.as_bytes().to_vec().into()).is_err(), "{file}");
    }
}

#[test]
fn a_branch_keeps_what_it_replaces() {
    let mut document = new();
    document.append(&[
        Message::user("a"),
        Message::assistant("b"),
        Message::user("c"),
        Message::assistant("d"),
    ]);
    document.branch(2, now()).unwrap();
    document.append(&[Message::user("e")]);
    let document = Document::parse(document.encode()).unwrap();
    let texts: Vec<_> = document.last(9).unwrap().iter().map(Message::text).collect();
    assert_eq!(texts, ["a", "b", "e"]);
    let branches: Vec<Branch> = serde_json::from_str(&document.raw_branches()).unwrap();
    assert_eq!(branches[0].at, 2);
    assert_eq!(branches[0].messages.len(), 2);
}

/// What a turn changes in a long session stands at its end, apart from the head; the messages before do not move.
#[test]
fn the_messages_of_a_long_session_stay_where_they_are() {
    let mut document = new();
    for n in 0..700 {
        document.append(&[Message::user(format!("{n} {}", "x".repeat(60)))]);
    }
    let place = |file: &Bytes| String::from_utf8_lossy(file).find(MESSAGES).unwrap();
    let before = document.encode();
    document.append(&[Message::user("more")]);
    document.head.run = Some(Lease::of(RunId::parse("run").unwrap(), now()));
    document.head.title = Some("A title".to_owned());
    let after = document.encode();
    assert_eq!(place(&before), place(&after));
    assert_eq!(place(&before) % ROOM, 0);
    let (kept, end) = (before.len() - 64, before.len() - END.len() - BRANCHES.len());
    assert_eq!(before[place(&before)..kept], after[place(&after)..kept]);
    assert_eq!(before[..end].last(), Some(&b'}'));
    let read = Document::by_layout(&after).expect("the layout fits");
    assert_eq!(read.head, document.head);
    assert_eq!(read.last(2).unwrap()[1].text(), "more");
    assert_eq!(Document::whole(&after).unwrap().last(701).unwrap(), document.last(701).unwrap());
}

proptest! {
    /// Appended in any portions, the layout finds the same last messages as a parse of the whole.
    #[test]
    fn the_layout_tells_the_truth(portions in prop::collection::vec(0..120usize, 1..8), title in "\\PC*", ask in 0..400usize) {
        let mut document = new();
        document.head.title = Some(title);
        document.head.memo.insert("messages".into(), json!([",\"messages\":["]));
        let mut all = Vec::new();
        for (n, portion) in portions.iter().enumerate() {
            let messages: Vec<Message> = (0..*portion).map(|m| Message::user(format!("],\"branches\":[ {n} {m}"))).collect();
            document.append(&messages);
            all.extend(messages);
            let file = document.encode();
            let read = Document::by_layout(&file).expect("the layout fits");
            prop_assert_eq!(&read.head, &document.head);
            document = read;
        }
        prop_assert_eq!(document.count(), all.len());
        let last = document.last(ask).unwrap();
        prop_assert_eq!(&last[..], &all[all.len() - ask.min(all.len())..]);
        let whole = Document::whole(&document.encode()).unwrap();
        prop_assert_eq!(whole.last(ask).unwrap(), last);
    }
}
