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
