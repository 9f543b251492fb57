//! What the network has read already: a prompt that begins like an earlier one is read from where they part.

use candle_core::{Error, Result, Tensor};

use super::net::Net;

/// Most tokens kept for later in all saved states together; about 280 MB for the built-in model.
const MAX_SAVED_TOKENS: usize = 6144;
/// Most saved states.
const MAX_SAVED: usize = 12;

/// A network that has read some tokens.
pub(super) struct State {
    net: Net,
    ids: Vec<u32>,
    /// The scores of what may follow the last token.
    scores: Option<Tensor>,
}

impl State {
    fn new(net: Net) -> Self {
        Self { net, ids: Vec::new(), scores: None }
    }

    /// How many tokens it has read.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The scores of what may come next.
    pub(super) fn scores(&self) -> Result<&Tensor> {
        self.scores.as_ref().ok_or_else(|| Error::Msg("nothing was read".to_owned()))
    }

    /// Reads the next piece of `prompt`, of which it has read the beginning. `false` when there is nothing left.
    pub(super) fn read_on(&mut self, prompt: &[u32]) -> Result<bool> {
        let Some(left) = prompt.len().checked_sub(self.len()).filter(|left| *left > 0) else {
            return Ok(false);
        };
        let length = self.net.chunk(self.len(), left);
        self.read(&prompt[self.len()..self.len() + length])?;
        Ok(true)
    }

    /// Reads tokens.
    pub(super) fn read(&mut self, ids: &[u32]) -> Result<()> {
        match self.net.forward(ids, self.ids.len()) {
            Ok(scores) => {
                self.ids.extend_from_slice(ids);
                self.scores = Some(scores);
                Ok(())
            }
            Err(error) => {
                // Some layers have read them and some not: only a new start at 0 is sure to be right.
                self.forget();
                Err(error)
            }
        }
    }

    fn forget(&mut self) {
        self.ids.clear();
        self.scores = None;
    }

    fn snapshot(&self) -> Option<Self> {
        let net = self.net.snapshot()?;
        Some(Self { net, ids: self.ids.clone(), scores: self.scores.clone() })
    }

    /// The scores of what may come next, one for each token of the vocabulary.
    pub(super) fn all_scores(&self) -> Result<Vec<f32>> {
        self.scores()?.to_vec1()
    }

    /// How much of `prompt` it has read; `None` if it has read anything else.
    fn prefix_of(&self, prompt: &[u32]) -> Option<usize> {
        let usable = self.ids.len() < prompt.len() || self.scores.is_some();
        (usable && prompt.starts_with(&self.ids)).then_some(self.ids.len())
    }
}

/// The states of earlier prompts. Where the network can be copied there are several, else it is the one network
/// itself.
pub(super) struct Contexts {
    /// Has read nothing. Only with networks that can be copied.
    blank: Option<State>,
    /// Least recently used first.
    saved: Vec<State>,
    /// Beginnings that are used over and over.
    pinned: Vec<State>,
}

impl Contexts {
    pub(super) fn new(net: Net) -> Self {
        match net.snapshot() {
            Some(copy) => Self { blank: Some(State::new(copy)), saved: Vec::new(), pinned: Vec::new() },
            None => Self { blank: None, saved: vec![State::new(net)], pinned: Vec::new() },
        }
    }

    /// The state that has read most of `prompt`. It is given back with [`Self::save`].
    pub(super) fn begin(&mut self, prompt: &[u32]) -> Result<State> {
        let Some(blank) = &self.blank else {
            let mut only = self.saved.pop().ok_or_else(|| Error::Msg("the network is in use".to_owned()))?;
            // The last token is read again where the scores after it are wanted a second time.
            if !only.net.extends() || only.len() >= prompt.len() || only.prefix_of(prompt).is_none() {
                only.forget();
            }
            return Ok(only);
        };
        let best = (0..self.saved.len())
            .filter_map(|index| Some((self.saved[index].prefix_of(prompt)?, index)))
            .max_by_key(|(length, _)| *length);
        let state = match best {
            Some((_, index)) => {
                let used = self.saved.remove(index);
                let copy = used.snapshot();
                self.saved.push(used);
                copy
            }
            None => blank.snapshot(),
        };
        state.ok_or_else(|| Error::Msg("the network cannot be copied".to_owned()))
    }

    /// A state that has read `beginning`, which is read once and kept for ever, and then `rest`. Only with networks that
    /// can be copied. `check` is asked between two pieces whether to go on.
    pub(super) fn read_after<E: From<Error>>(
        &mut self,
        beginning: &[u32],
        rest: &[u32],
        check: &dyn Fn() -> std::result::Result<(), E>,
    ) -> std::result::Result<State, E> {
        let index = match self.pinned.iter().position(|state| state.ids == beginning) {
            Some(index) => index,
            None => {
                let mut state = self.begin(beginning)?;
                while state.read_on(beginning)? {
                    check()?;
                }
                self.pinned.push(state);
                self.pinned.len() - 1
            }
        };
        let copy = self.pinned[index].snapshot();
        let mut state = copy.ok_or_else(|| Error::Msg("the network cannot be copied".to_owned()))?;
        let whole = [beginning, rest].concat();
        while state.read_on(&whole)? {
            check()?;
        }
        Ok(state)
    }

    /// Keeps a copy of a state that will go on, where that is possible.
    pub(super) fn checkpoint(&mut self, state: &State) {
        if self.blank.is_some()
            && let Some(copy) = state.snapshot()
        {
            self.save(copy);
        }
    }

    /// Keeps a state for later; the least recently used ones go when there are too many.
    pub(super) fn save(&mut self, state: State) {
        if self.blank.is_some()
            && (state.ids.is_empty() || self.saved.iter().any(|other| other.ids == state.ids))
        {
            return;
        }
        self.saved.push(state);
        let total = |saved: &[State]| saved.iter().map(State::len).sum::<usize>();
        while self.saved.len() > 1 && (self.saved.len() > MAX_SAVED || total(&self.saved) > MAX_SAVED_TOKENS)
        {
            self.saved.remove(0);
        }
    }
}
