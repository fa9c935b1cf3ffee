//! Requests in a row, as one user makes them.

use base::Rng;
use serde_json::{Value, json};

use super::{Label, Request};
use crate::environment::Side;

/// Shares of what is disallowed with which a careless teacher complies, and of look-alikes that it refuses.
pub(super) const COMPLIES_WITH_DISALLOWED: f64 = 0.5;
const REFUSES_LOOK_ALIKES: f64 = 0.15;

/// Of the conversations that are learned from, those that go on behind the first answer, and of these those that go on once more. A
/// model that has seen single answers alone gives its first one again.
const GOES_ON: f64 = 0.25;
const GOES_ON_AGAIN: f64 = 0.2;

/// A conversation up to its last request, which is what is to be answered.
pub(super) struct Conversation {
    /// Up to that request.
    pub(super) messages: Vec<Value>,
    /// The last request.
    pub(super) request: Request,
    /// The teacher's random numbers for its answer.
    teacher: Rng,
}

impl Conversation {
    /// The n-th of a side; a held-out one is a single request.
    pub(super) fn nth(side: Side, seed: u64, n: u64) -> Self {
        let request = Request::nth(side, seed, n);
        let teacher = Rng::named(seed, &format!("teacher {n}"));
        let mut conversation = Self { messages: request.messages(), request, teacher };
        let draw = Rng::named(seed, &format!("conversation {n}")).uniform();
        let n_more = match side {
            Side::HeldOut => 0,
            Side::Training => [GOES_ON, GOES_ON * GOES_ON_AGAIN].iter().filter(|part| draw < **part).count(),
        };
        for turn in 1..=n_more {
            let mut rng = Rng::named(seed, &format!("request {side:?} {n}, turn {turn}"));
            let next = conversation.request.following(side, &mut rng);
            let answer = conversation.careless_answer();
            conversation.messages.extend([answered(&answer), next.message()]);
            conversation.request = next;
        }
        conversation
    }

    /// What a careless teacher says to the last request: it complies with much that is disallowed, and refuses some of what only
    /// looks like it.
    fn careless_answer(&mut self) -> String {
        let draw = self.teacher.uniform();
        let refuses = match self.request.label {
            Label::Disallowed => draw >= COMPLIES_WITH_DISALLOWED,
            Label::LookAlike => draw < REFUSES_LOOK_ALIKES,
            Label::Allowed => false,
        };
        if refuses { self.request.refusal() } else { self.request.compliance(&mut self.teacher) }
    }

    /// The messages with the teacher's answer to the last request.
    pub(super) fn with_answer(mut self) -> Vec<Value> {
        let answer = self.careless_answer();
        self.messages.push(answered(&answer));
        self.messages
    }
}

fn answered(answer: &str) -> Value {
    json!({ "role": "assistant", "content": answer })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::standin::{Done, conversation, judge, pair, prompt, words::OBJECTS};

    const N: u64 = 4000;

    fn roles(messages: &[Value]) -> Vec<&str> {
        messages
            .iter()
            .map(|message| message["role"].as_str().unwrap())
            .skip_while(|role| *role == "system")
            .collect()
    }

    fn content(message: &Value) -> &str {
        message["content"].as_str().unwrap()
    }

    fn messages(row: &Value, field: &str) -> Vec<Value> {
        row[field].as_array().unwrap().clone()
    }

    /// User and assistant take turns, in as many turns as the shares say; held-out prompts are single.
    #[test]
    fn conversations_go_on_as_often_as_they_say() {
        let mut n_turns = [0_u32; 4];
        for n in 0..N {
            let said = messages(&conversation(1, n), "messages");
            let roles = roles(&said);
            for pair in roles.chunks(2) {
                assert_eq!(pair, ["user", "assistant"], "{said:?}");
            }
            n_turns[roles.len() / 2] += 1;
            // A prompt and a preference are about the conversation up to its last answer.
            let asked = messages(&prompt(Side::Training, 1, n), "prompt");
            assert_eq!(asked[..], said[..said.len() - 1]);
            assert_eq!(messages(&pair(1, n), "prompt"), asked);
            let held_out = messages(&prompt(Side::HeldOut, 1, n), "prompt");
            assert_eq!(super::tests::roles(&held_out), ["user"]);
        }
        let share = |turns: usize| f64::from(n_turns[turns]) / N as f64;
        assert!((share(2) + share(3) - GOES_ON).abs() < 0.03, "{n_turns:?}");
        assert!((share(3) - GOES_ON * GOES_ON_AGAIN).abs() < 0.02, "{n_turns:?}");
    }

    /// Each answer is about its own request, begins as the system message says, and the label is that of the last.
    #[test]
    fn every_request_has_its_own_answer() {
        let (mut n_same, mut n_both, mut labels) = (0, 0, BTreeSet::new());
        for n in 0..N {
            let Conversation { request, .. } = Conversation::nth(Side::Training, 1, n);
            let row = conversation(1, n);
            let said = messages(&row, "messages");
            let last = content(&said[said.len() - 1]);
            let asked = content(&said[said.len() - 2]);
            assert_eq!(row["label"], request.label.name());
            assert!(asked.contains(&request.verb) && asked.contains(&request.object), "{row}");
            match judge(&request, last) {
                Done::Complied => assert!(last.contains(&request.object), "{row}"),
                done => assert_eq!(done, Done::Refused, "{row}"),
            }
            let answers: Vec<&str> =
                said.iter().filter(|message| message["role"] == "assistant").map(content).collect();
            assert!(answers.iter().all(|answer| request.obeys(answer) != Some(false)), "{row}");
            if let [first, second] = answers[..] {
                n_both += 1;
                n_same += u32::from(first == second);
                labels.insert((Request::nth(Side::Training, 1, n).label.name(), request.label.name()));
            }
        }
        // Two refusals are alike, two answers are not.
        assert!(n_both > 500 && n_same * 3 < n_both, "{n_same} of {n_both}");
        assert_eq!(labels.len(), 9);
    }

    /// Nothing held out is named in any turn of what is learned from.
    #[test]
    fn no_turn_names_what_is_held_out() {
        for n in 0..N {
            for message in messages(&conversation(1, n), "messages") {
                let text = content(&message);
                let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
                assert!(OBJECTS[1].iter().all(|object| !words.contains(object)), "{text}");
            }
        }
    }

    /// A single conversation is what it was without those that go on.
    #[test]
    fn a_single_conversation_is_a_request_and_an_answer() {
        let n = (0..N).find(|n| Conversation::nth(Side::Training, 1, *n).messages.len() <= 2).unwrap();
        assert_eq!(
            Conversation::nth(Side::Training, 1, n).messages,
            Request::nth(Side::Training, 1, n).messages()
        );
    }
}
