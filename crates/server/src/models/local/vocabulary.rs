//! From text to tokens: the tokenizer a model file carries, and which of its tokens are control tokens.

use std::collections::{HashMap, HashSet};

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::tokenizer::TokenizerFromGguf as _;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

use super::template::GUARD;

/// Control tokens by their text.
#[derive(Clone, Debug, Default)]
pub(super) struct Controls {
    /// By first byte, longest first: one name may begin another.
    by_first: HashMap<u8, Vec<(String, u32)>>,
}

impl Controls {
    pub(super) fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut by_first: HashMap<u8, Vec<(String, u32)>> = HashMap::new();
        for (text, id) in tokens {
            if let Some(first) = text.bytes().next() {
                by_first.entry(first).or_default().push((text, id));
            }
        }
        for names in by_first.values_mut() {
            names.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
        Self { by_first }
    }

    /// The control token at the start of `text`, and how many bytes it is.
    pub(super) fn at_start_of(&self, text: &str) -> Option<(u32, usize)> {
        let names = self.by_first.get(text.as_bytes().first()?)?;
        names.iter().find(|(name, _)| text.starts_with(name)).map(|(name, id)| (*id, name.len()))
    }
}

/// The tokenizer of a model and what is known of its tokens.
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    pub(super) controls: Controls,
    /// Tokens that end the assistant's turn.
    ends: HashSet<u32>,
    /// The tokens around reasoning, in models that reason.
    think: Option<(u32, u32)>,
    /// Put before every prompt that does not begin with it.
    bos: Option<u32>,
    pub(super) bos_text: String,
    pub(super) eos_text: String,
}

/// Names under which models end a turn; a file names only one of them as its end token.
const TURN_ENDS: [&str; 9] = [
    "<|im_end|>",
    "<|im_start|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
];

/// How a space is written in vocabularies of bytes.
const SPACE: char = '\u{120}';

/// `llama.cpp`'s kinds of token that are not plain text: unknown, control, user-defined, unused.
const SPECIAL_KINDS: std::ops::RangeInclusive<u64> = 2..=5;

impl Vocabulary {
    /// Reads the tokenizer out of a model file's header.
    pub(super) fn from_gguf(content: &Content) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_gguf(content).map_err(|error| error.to_string())?;
        let text_of = |key: &str| content.metadata.get(key).and_then(|value| value.to_string().ok());
        if text_of("tokenizer.ggml.pre").is_some_and(|pre| pre == "smollm") {
            // The library takes GPT-2's rule, but these models split numbers into digits first.
            let steps = vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()];
            tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
        }
        // Control tokens are found by us (see `encode`); in all other text their names are just letters.
        tokenizer.set_encode_special_tokens(true);

        let id_of = |key: &str| {
            let value = content.metadata.get(key)?;
            value.to_u64().ok().and_then(|id| u32::try_from(id).ok())
        };
        let bos = id_of("tokenizer.ggml.bos_token_id");
        let eos = id_of("tokenizer.ggml.eos_token_id");
        let specials = specials(content, [bos, eos]);
        let by_name: HashMap<&str, u32> = specials.iter().map(|(text, id)| (text.as_str(), *id)).collect();
        let ends = TURN_ENDS
            .iter()
            .filter_map(|name| by_name.get(name).copied())
            .chain(eos)
            .chain(id_of("tokenizer.ggml.eot_token_id"))
            .collect();
        let think = by_name.get("<think>").copied().zip(by_name.get("</think>").copied());
        let add_bos = content.metadata.get("tokenizer.ggml.add_bos_token");
        let name_of = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default();
        Ok(Self {
            bos_text: name_of(bos),
            eos_text: name_of(eos),
            bos: bos.filter(|_| add_bos.is_some_and(|add| add.to_bool().unwrap_or(false))),
            controls: Controls::new(specials),
            ends,
            think,
            tokenizer,
        })
    }

    /// The tokens of a rendered prompt. What the template wrote as a control token becomes one; what a person wrote
    /// (it carries a [`GUARD`]) becomes letters.
    pub(super) fn encode(&self, prompt: &str) -> Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while at < prompt.len() {
            if let Some((id, length)) = self.controls.at_start_of(&prompt[at..]) {
                self.encode_text(&prompt[start..at], &mut ids)?;
                ids.push(id);
                at += length;
                start = at;
            } else {
                at += prompt[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        self.encode_text(&prompt[start..], &mut ids)?;
        if let Some(bos) = self.bos
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// The tokens of plain text, in which nothing is a control token.
    pub(super) fn encode_plain(&self, text: &str) -> Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        self.encode_text(text, &mut ids)?;
        Ok(ids)
    }

    /// Whether a token has letters: a word or a part of one, not a number or a mark.
    pub(super) fn has_letters(&self, id: u32) -> bool {
        // The space's stand-in is a letter by Unicode.
        self.tokenizer
            .id_to_token(id)
            .is_some_and(|text| text.chars().any(|c| c.is_alphabetic() && c != SPACE))
    }

    /// All tokens of plain text with a text that `keep` accepts; a leading space does not count.
    pub(super) fn tokens_of(&self, keep: impl Fn(&str) -> bool) -> Vec<(u32, String)> {
        let count = u32::try_from(self.tokenizer.get_vocab_size(true)).unwrap_or(u32::MAX);
        (0..count)
            .filter_map(|id| {
                let text = self.tokenizer.id_to_token(id)?.replace(SPACE, " ");
                let bare = text.strip_prefix(' ').unwrap_or(&text);
                (!bare.is_empty() && keep(bare)).then_some((id, text))
            })
            .collect()
    }

    fn encode_text(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let text = text.replace(GUARD, "");
        if !text.is_empty() {
            let encoding = self.tokenizer.encode(text, false).map_err(|error| error.to_string())?;
            ids.extend_from_slice(encoding.get_ids());
        }
        Ok(())
    }

    /// Whether a token ends the assistant's turn.
    pub(super) fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Whether a token opens (`true`) or closes (`false`) reasoning.
    pub(super) fn thinking(&self, id: u32) -> Option<bool> {
        let (open, close) = self.think?;
        if id == open { Some(true) } else { (id == close).then_some(false) }
    }

    /// Turns tokens back into text, one by one: a piece comes out as soon as it is whole characters.
    pub(super) fn decoder(&self) -> Decoder<'_> {
        Decoder(self.tokenizer.decode_stream(true))
    }
}

/// See [`Vocabulary::decoder`].
pub(super) struct Decoder<'a>(
    tokenizers::DecodeStream<
        'a,
        tokenizers::ModelWrapper,
        tokenizers::NormalizerWrapper,
        tokenizers::PreTokenizerWrapper,
        tokenizers::PostProcessorWrapper,
        tokenizers::DecoderWrapper,
    >,
);

impl Decoder<'_> {
    pub(super) fn step(&mut self, id: u32) -> Result<Option<String>, String> {
        self.0.step(id).map_err(|error| error.to_string())
    }
}

/// All tokens of a file that are not plain text.
fn specials(content: &Content, also: [Option<u32>; 2]) -> Vec<(String, u32)> {
    let list = |key: &str| match content.metadata.get(key) {
        Some(Value::Array(values)) => values.as_slice(),
        _ => &[],
    };
    let tokens = list("tokenizer.ggml.tokens");
    let kinds = list("tokenizer.ggml.token_type");
    let by_kind = kinds.iter().enumerate().filter(|(_, kind)| is_special(kind)).map(|(index, _)| index);
    let named = also.into_iter().flatten().map(|id| id as usize);
    let indices: HashSet<usize> = by_kind.chain(named).collect();
    indices
        .into_iter()
        .filter_map(|index| {
            let text = tokens.get(index)?.to_string().ok()?;
            Some((text.clone(), u32::try_from(index).ok()?))
        })
        .collect()
}

fn is_special(kind: &Value) -> bool {
    let kind = match kind {
        Value::I32(kind) => u64::try_from(*kind).ok(),
        kind => kind.to_u64().ok(),
    };
    kind.is_some_and(|kind| SPECIAL_KINDS.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_control_token_wins() {
        let controls = Controls::new([("<a>".to_owned(), 1), ("<a><b>".to_owned(), 2)]);
        assert_eq!(controls.at_start_of("<a><b>c"), Some((2, 6)));
        assert_eq!(controls.at_start_of("<a>c"), Some((1, 3)));
        assert_eq!(controls.at_start_of("x<a>"), None);
        assert_eq!(controls.at_start_of(""), None);
    }
}
