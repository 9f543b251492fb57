//! The networks candle can run from a GGUF file, behind one interface.

use std::io::{Read, Seek};

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Result, Tensor};
use candle_transformers::models::{quantized_llama, quantized_phi3, quantized_qwen2, quantized_qwen3};

/// The architectures that work, as a GGUF file names them.
pub(super) const ARCHITECTURES: [&str; 4] = ["llama", "qwen2", "qwen3", "phi3"];

/// Most tokens a conversation may have, prompt and answer together: candle's table of positions for llama ends here,
/// and a longer one would be too slow on a CPU in any case.
pub(super) const MAX_CONTEXT: usize = quantized_llama::MAX_SEQ_LEN;

/// Most tokens of a prompt that are read in one go. Between two goes a call can be cancelled.
const CHUNK: usize = 64;

/// A network with the keys and values of the tokens it has read.
pub(super) enum Net {
    Llama(Box<quantized_llama::ModelWeights>),
    Qwen2(Box<quantized_qwen2::ModelWeights>),
    Qwen3(Box<quantized_qwen3::ModelWeights>),
    Phi3(Box<quantized_phi3::ModelWeights>),
}

impl Net {
    /// Reads the weights.
    pub(super) fn from_gguf<R: Read + Seek>(
        architecture: &str,
        mut content: Content,
        reader: &mut R,
    ) -> Result<Self> {
        // Tables are made for as many positions as the file claims to know: 128k of them is a gigabyte.
        let key = format!("{architecture}.context_length");
        if let Some(length) = content.metadata.get_mut(&key)
            && length.to_u32().is_ok_and(|length| length as usize > MAX_CONTEXT)
        {
            *length = Value::U32(MAX_CONTEXT as u32);
        }
        let cpu = &Device::Cpu;
        Ok(match architecture {
            "qwen2" => Self::Qwen2(Box::new(quantized_qwen2::ModelWeights::from_gguf(content, reader, cpu)?)),
            "qwen3" => {
                // Positions in 16-bit floats, its default, are wrong from 2048 on.
                content.metadata.insert("general.dtype".to_owned(), Value::U32(0));
                Self::Qwen3(Box::new(quantized_qwen3::ModelWeights::from_gguf(content, reader, cpu)?))
            }
            "phi3" => {
                Self::Phi3(Box::new(quantized_phi3::ModelWeights::from_gguf(false, content, reader, cpu)?))
            }
            _ => Self::Llama(Box::new(quantized_llama::ModelWeights::from_gguf(content, reader, cpu)?)),
        })
    }

    /// Reads `ids`, which stand at `position` of the conversation, and gives the scores of what may come next. At
    /// position 0 everything read before is forgotten.
    pub(super) fn forward(&mut self, ids: &[u32], position: usize) -> Result<Tensor> {
        let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let scores = match self {
            Self::Llama(net) => net.forward(&input, position),
            Self::Qwen2(net) => net.forward(&input, position),
            Self::Qwen3(net) => {
                if position == 0 {
                    net.clear_kv_cache();
                }
                net.forward(&input, position)
            }
            Self::Phi3(net) => net.forward(&input, position),
        }?;
        scores.squeeze(0)
    }

    /// A copy that shares what has been read so far, where the architecture allows it. Costs next to nothing.
    pub(super) fn snapshot(&self) -> Option<Self> {
        match self {
            Self::Llama(net) => Some(Self::Llama(net.clone())),
            // Qwen 2 has no copy; the others write into shared memory.
            Self::Qwen2(_) | Self::Qwen3(_) | Self::Phi3(_) => None,
        }
    }

    /// Whether a prompt may follow on tokens generated one by one. Qwen 3 keeps the two in different places.
    pub(super) fn extends(&self) -> bool {
        !matches!(self, Self::Qwen3(_))
    }

    /// How long the next piece of a prompt should be, of `left` tokens that begin at `position`.
    pub(super) fn chunk(&self, position: usize, left: usize) -> usize {
        match self {
            // They keep a mask for each (length, position) they have seen, for ever. Powers of two at their own
            // multiples are few.
            Self::Qwen2(_) | Self::Phi3(_) => {
                let aligned = 1 << position.trailing_zeros().min(CHUNK.trailing_zeros());
                aligned.min(1 << left.ilog2())
            }
            // A snapshot of the first state has no masks yet.
            Self::Llama(_) | Self::Qwen3(_) => left.min(CHUNK),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};

    use super::*;

    const HIDDEN: usize = 64;
    const HEAD: usize = 32;
    const INNER: usize = 96;
    const VOCABULARY: usize = 80;

    /// A network of two layers with the weights of no training.
    fn tiny(architecture: &str) -> Net {
        let mut tensors: Vec<(String, Vec<usize>)> = vec![
            ("token_embd.weight".into(), vec![VOCABULARY, HIDDEN]),
            ("output_norm.weight".into(), vec![HIDDEN]),
            ("output.weight".into(), vec![VOCABULARY, HIDDEN]),
        ];
        for layer in 0..2 {
            let mut add = |name: &str, shape: &[usize]| {
                tensors.push((format!("blk.{layer}.{name}"), shape.to_vec()));
            };
            add("attn_norm.weight", &[HIDDEN]);
            add("ffn_norm.weight", &[HIDDEN]);
            add("attn_output.weight", &[HIDDEN, HIDDEN]);
            add("ffn_down.weight", &[HIDDEN, INNER]);
            if architecture == "phi3" {
                add("attn_qkv.weight", &[HIDDEN + 2 * HEAD, HIDDEN]);
                add("ffn_up.weight", &[2 * INNER, HIDDEN]);
                continue;
            }
            add("ffn_up.weight", &[INNER, HIDDEN]);
            add("ffn_gate.weight", &[INNER, HIDDEN]);
            for (name, size) in [("q", HIDDEN), ("k", HEAD), ("v", HEAD)] {
                add(&format!("attn_{name}.weight"), &[size, HIDDEN]);
                if architecture == "qwen2" {
                    add(&format!("attn_{name}.bias"), &[size]);
                }
            }
            if architecture == "qwen3" {
                add("attn_q_norm.weight", &[HEAD]);
                add("attn_k_norm.weight", &[HEAD]);
            }
        }
        let tensors: Vec<(String, QTensor)> = tensors
            .into_iter()
            .enumerate()
            .map(|(seed, (name, shape))| {
                let count: usize = shape.iter().product();
                let value = |n: usize| {
                    let hash = ((n * 31 + seed * 7919 + 17) as u32).wrapping_mul(2_654_435_761) >> 8;
                    let unit = hash as f32 / (1_u32 << 24) as f32 - 0.5;
                    if name.ends_with("norm.weight") { 1.0 + unit * 0.1 } else { unit * 0.5 }
                };
                let values: Vec<f32> = (0..count).map(value).collect();
                let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                (name, QTensor::quantize(&tensor, GgmlDType::F32).unwrap())
            })
            .collect();
        let number = |value: usize| Value::U32(value as u32);
        let metadata: Vec<(String, Value)> = [
            ("attention.head_count", number(2)),
            ("attention.head_count_kv", number(1)),
            ("attention.key_length", number(HEAD)),
            ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("block_count", number(2)),
            // More than we use: it is cut down.
            ("context_length", number(131_072)),
            ("embedding_length", number(HIDDEN)),
            ("feed_forward_length", number(INNER)),
            ("rope.dimension_count", number(HEAD)),
            ("rope.freq_base", Value::F32(10_000.0)),
        ]
        .into_iter()
        .map(|(key, value)| (format!("{architecture}.{key}"), value))
        .collect();
        let metadata: Vec<(&str, &Value)> =
            metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
        file.set_position(0);
        let content = Content::read(&mut file).unwrap();
        Net::from_gguf(architecture, content, &mut file).unwrap()
    }

    /// Reads `ids[from..]` in pieces.
    fn read(net: &mut Net, ids: &[u32], from: usize) -> Vec<f32> {
        let mut at = from;
        let mut scores = None;
        while at < ids.len() {
            let length = net.chunk(at, ids.len() - at);
            scores = Some(net.forward(&ids[at..at + length], at).unwrap());
            at += length;
        }
        scores.unwrap().to_vec1().unwrap()
    }

    fn assert_same(a: &[f32], b: &[f32], what: &str) {
        let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!((a.len(), b.len()), (VOCABULARY, VOCABULARY), "{what}");
        assert!(most < 1e-3, "{what}: {most}");
    }

    #[test]
    fn reading_in_pieces_is_reading() {
        let ids: Vec<u32> = (0..90_u32).map(|n| n * 37 % VOCABULARY as u32).collect();
        for architecture in ARCHITECTURES {
            let mut whole = tiny(architecture);
            let mut at_once =
                |length: usize| -> Vec<f32> { whole.forward(&ids[..length], 0).unwrap().to_vec1().unwrap() };
            let mut net = tiny(architecture);
            assert_same(&read(&mut net, &ids[..75], 0), &at_once(75), architecture);
            // One by one, as in writing.
            for length in 76..80 {
                let scores: Vec<f32> =
                    net.forward(&ids[length - 1..length], length - 1).unwrap().to_vec1().unwrap();
                assert_same(&scores, &at_once(length), architecture);
            }
            // A next prompt that goes on from there.
            if net.extends() {
                assert_same(&read(&mut net, &ids, 79), &at_once(90), architecture);
            }
            // A new one.
            assert_same(&read(&mut net, &ids[..20], 0), &at_once(20), architecture);
        }
    }

    #[test]
    fn a_snapshot_is_not_changed_by_what_comes_after() {
        let ids: Vec<u32> = (0..30).collect();
        let mut net = tiny("llama");
        read(&mut net, &ids[..20], 0);
        let mut copy = net.snapshot().unwrap();
        read(&mut net, &[ids.clone(), vec![5, 6, 7]].concat(), 20);
        let expected = read(&mut tiny("llama"), &ids, 0);
        assert_same(&read(&mut copy, &ids, 20), &expected, "snapshot");
    }
}
