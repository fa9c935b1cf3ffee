//! Answers that a model writes: decoded with the engine, read by extractors, compared with what is right.

mod decode;
mod exact_match;
mod extract;
mod ifeval;
mod number_words;
mod pass_at_k;
mod program;
pub(crate) mod settings;
mod squad;
mod steering;
#[cfg(test)]
mod tests;
mod verdict;

pub use decode::{Writer, examine_generated};
pub(crate) use decode::{cut, messages};
pub use pass_at_k::pass_at_k;
pub use settings::{Drawing, GenerationSettings};

pub(crate) use exact_match::ExactMatch;
pub(crate) use extract::Filter;
pub(crate) use program::run;
pub(crate) use settings::Generate;
pub(crate) use verdict::{BLEU, CHRF, INSTRUCTION_LEVEL, judge};
