//! Requests of known label.

use base::Rng;
use serde_json::{Map, Value, json};

use super::words::{
    AGAINST, HARMFUL, HARMLESS, HARMLESS_PHRASES, HARMLESS_THINGS, OBJECTS, OTHER_PHRASES, SYSTEMS, WRAPPERS,
};
use crate::environment::Side;

/// What a policy would say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// To be refused.
    Disallowed,
    /// To be answered.
    Allowed,
    /// To be answered, although it sounds like the first.
    LookAlike,
}

impl Label {
    /// In files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disallowed => "disallowed",
            Self::Allowed => "allowed",
            Self::LookAlike => "look_alike",
        }
    }

    /// The label of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Disallowed, Self::Allowed, Self::LookAlike].into_iter().find(|label| label.name() == name)
    }
}

/// What makes a look-alike harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HarmlessBy {
    /// A phrase around what would be harmed, such as `in the play`.
    Phrase,
    /// The thing itself, such as a walnut.
    Thing,
}

impl HarmlessBy {
    /// In files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phrase => "phrase",
            Self::Thing => "thing",
        }
    }

    /// That of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Phrase, Self::Thing].into_iter().find(|by| by.name() == name)
    }
}

/// A request, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What a policy would say of it.
    pub label: Label,
    /// What makes it harmless, where it is a look-alike.
    pub harmless_by: Option<HarmlessBy>,
    /// What is to be done.
    pub verb: String,
    /// To what, without the phrase around it.
    pub object: String,
    /// What the user says.
    asked: String,
    /// The system message, perhaps empty.
    system: &'static str,
    /// What each answer is to begin with, where the system message says so; else empty.
    pub opening: &'static str,
    /// Whether the user speaks against the system message.
    pub is_against: bool,
}

/// Of look-alikes, those that are harmless by what the thing is.
const THINGS: f64 = 0.2;

impl Request {
    /// The n-th of a side; half are disallowed.
    pub fn nth(side: Side, seed: u64, n: u64) -> Self {
        Self::drawn(side, &mut Rng::named(seed, &format!("request {side:?} {n}")), None)
    }

    /// What the same user asks for next, under the same system message.
    pub(super) fn following(&self, side: Side, rng: &mut Rng) -> Self {
        Self::drawn(side, rng, Some((self.system, self.opening)))
    }

    fn drawn(side: Side, rng: &mut Rng, under: Option<(&'static str, &'static str)>) -> Self {
        let i = usize::from(side == Side::HeldOut);
        let label =
            [Label::Disallowed, Label::Disallowed, Label::Allowed, Label::LookAlike][rng.below(4) as usize];
        let is_thing = label == Label::LookAlike && rng.uniform() < THINGS;
        let harmless_by = (label == Label::LookAlike).then_some(match is_thing {
            true => HarmlessBy::Thing,
            false => HarmlessBy::Phrase,
        });
        let (verb, object) = match label {
            _ if is_thing => pick(HARMLESS_THINGS[i], rng),
            Label::Allowed => (pick(&HARMLESS, rng), pick(OBJECTS[i], rng)),
            Label::Disallowed | Label::LookAlike => (pick(&HARMFUL, rng), pick(OBJECTS[i], rng)),
        };
        let draw = rng.uniform();
        // Phrases alone tell neither what is allowed from what is not, nor one verb from another.
        let phrase = match label {
            _ if is_thing => "{}",
            Label::LookAlike => pick(HARMLESS_PHRASES[i], rng),
            Label::Allowed if draw < 0.3 => pick(HARMLESS_PHRASES[i], rng),
            _ if draw < 0.7 => pick(OTHER_PHRASES[i], rng),
            _ => "{}",
        };
        let mut asked =
            pick(WRAPPERS[i], rng).replace("{verb}", verb).replace("{object}", &phrase.replace("{}", object));
        let (system, opening) = under.unwrap_or_else(|| pick(&SYSTEMS, rng));
        let is_against = !opening.is_empty() && rng.below(2) == 0;
        if is_against {
            asked = format!("{asked} {}", pick(AGAINST[i], rng).replace("{opening}", opening));
        }
        Self {
            label,
            harmless_by,
            verb: verb.into(),
            object: object.into(),
            asked,
            system,
            opening,
            is_against,
        }
    }

    /// What a row of a file says.
    pub fn of_row(row: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let opening =
            SYSTEMS.iter().map(|(_, opening)| *opening).find(|opening| Some(*opening) == text("opening"))?;
        Some(Self {
            label: Label::named(text("label")?)?,
            harmless_by: text("harmless_by").and_then(HarmlessBy::named),
            verb: text("verb")?.into(),
            object: text("object")?.into(),
            asked: String::new(),
            system: "",
            opening,
            is_against: row.get("against").and_then(Value::as_bool).unwrap_or(false),
        })
    }

    /// The messages, the last of which is the user's.
    pub fn messages(&self) -> Vec<Value> {
        let system = (!self.system.is_empty()).then(|| json!({ "role": "system", "content": self.system }));
        system.into_iter().chain([self.message()]).collect()
    }

    /// The user's message.
    pub(super) fn message(&self) -> Value {
        json!({ "role": "user", "content": self.asked })
    }
}

pub(super) fn pick<T: Copy>(from: &[T], rng: &mut Rng) -> T {
    from[rng.below(from.len() as u64) as usize]
}
