//! Texts that end a text.

/// Looks for stop texts in a text that comes in parts, and holds back what may be the beginning of one.
///
/// It stands behind a [`super::StreamDecoder`]: whoever decodes ends the sequence when [`StopTexts::push`] says so.
#[derive(Clone, Debug)]
pub struct StopTexts {
    stops: Vec<String>,
    held: String,
}

/// What became certain with a part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certain {
    /// The text, up to a stop text where one came.
    pub text: String,
    /// Whether a stop text came: what follows is of no account.
    pub has_ended: bool,
}

impl StopTexts {
    /// Ends at the first of these that comes; empty ones never come.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), held: String::new() }
    }

    /// The text that became certain with this part.
    pub fn push(&mut self, part: &str) -> Certain {
        self.held.push_str(part);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            let text = self.held[..at].to_owned();
            self.held.clear();
            return Certain { text, has_ended: true };
        }
        let n_held = self.stops.iter().map(|stop| n_begun(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - n_held);
        Certain { text: std::mem::replace(&mut self.held, rest), has_ended: false }
    }

    /// What is still held, where the text ended otherwise.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` with which `stop` begins.
fn n_begun(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len() - 1);
    (1..=most).rev().find(|&n| stop.is_char_boundary(n) && text.ends_with(&stop[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pushed(stops: &[String], parts: &[String]) -> (String, bool) {
        let mut found = StopTexts::new(stops.iter().cloned());
        let mut text = String::new();
        for part in parts {
            let certain = found.push(part);
            text.push_str(&certain.text);
            if certain.has_ended {
                return (text, true);
            }
        }
        text.push_str(&found.finish());
        (text, false)
    }

    #[test]
    fn the_beginning_of_a_stop_is_held_back() {
        let mut stops = StopTexts::new(["\n\n".to_owned(), "END".to_owned(), String::new()]);
        let certain = |text: &str, has_ended| Certain { text: text.to_owned(), has_ended };
        assert_eq!(stops.push("a\n"), certain("a", false));
        assert_eq!(stops.push("bE"), certain("\nb", false));
        assert_eq!(stops.push("NN"), certain("ENN", false));
        assert_eq!(stops.push("é E"), certain("é ", false));
        assert_eq!(stops.push("ND of"), certain("", true));
        assert_eq!(stops.push("x\n"), certain("x", false));
        assert_eq!(stops.finish(), "\n");
    }

    proptest! {
        /// In whatever parts a text comes, it ends where a stop text first ends in the whole.
        #[test]
        fn parts_change_nothing(
            parts in proptest::collection::vec("[abé]{0,3}", 0..12),
            stops in proptest::collection::vec("[abé]{0,3}", 0..3),
        ) {
            let letters: Vec<String> = parts.concat().chars().map(String::from).collect();
            let (text, has_ended) = pushed(&stops, &letters);
            let whole = parts.concat();
            prop_assert!(whole.starts_with(&text));
            let comes = stops.iter().any(|stop| !stop.is_empty() && whole.contains(stop.as_str()));
            prop_assert_eq!(has_ended, comes);
            if has_ended {
                prop_assert!(stops.iter().any(|stop| !stop.is_empty() && whole[text.len()..].starts_with(stop.as_str())));
            } else {
                prop_assert_eq!(&text, &whole);
            }
            prop_assert!(!stops.iter().any(|stop| !stop.is_empty() && text.contains(stop.as_str())));
            prop_assert_eq!(pushed(&stops, &parts).1, comes);
        }
    }
}
