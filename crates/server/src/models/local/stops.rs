//! Stop sequences: text at which the answer ends, and which is not shown.

/// Looks for stop sequences in text that arrives in pieces. What may be the beginning of one is held back.
pub(super) struct Stops<'a> {
    stops: Vec<&'a str>,
    held: String,
}

impl<'a> Stops<'a> {
    pub(super) fn new(stops: &'a [String]) -> Self {
        let stops = stops.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
        Self { stops, held: String::new() }
    }

    /// Takes the next piece; gives what can be shown, and whether a stop sequence follows it.
    pub(super) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let start = self
            .held
            .char_indices()
            .map(|(at, _)| at)
            .find(|at| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..])));
        let rest = start.map(|at| self.held.split_off(at)).unwrap_or_default();
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, when nothing more comes.
    pub(super) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_only_what_may_be_a_stop() {
        let list = ["END".to_owned(), "\n\n".to_owned()];
        let mut stops = Stops::new(&list);
        assert_eq!(stops.push("one E"), ("one ".to_owned(), false));
        assert_eq!(stops.push("ve\n"), ("Eve".to_owned(), false));
        assert_eq!(stops.push("two EN"), ("\ntwo ".to_owned(), false));
        assert_eq!(stops.push("D three"), (String::new(), true));
    }

    #[test]
    fn gives_the_rest_at_the_end() {
        let list = ["END".to_owned()];
        let mut stops = Stops::new(&list);
        assert_eq!(stops.push("x EN"), ("x ".to_owned(), false));
        assert_eq!(stops.rest(), "EN");
    }

    #[test]
    fn without_stops_everything_passes() {
        let list = [String::new()];
        assert_eq!(Stops::new(&list).push("ü"), ("ü".to_owned(), false));
    }
}
