//! Supervised fine-tuning: what the assistant says is learned, all else is context.

use data::{ChatTemplate, Said, Tokenizer};
use train::Example;

use crate::{AlignError, Conversation, Dropped};

/// Examples, and what was left out on the way.
#[derive(Clone, Debug)]
pub struct Examples {
    /// In the order of the conversations.
    pub examples: Vec<Example>,
    /// Conversations that were left out.
    pub dropped: Dropped,
}

/// The conversations as token ids, with weight 1 on what the assistant says, the token that ends its turn included, and 0 on
/// everything else: questions, system messages, what tools observed.
///
/// Conversations of more than `seq_len + 1` tokens and those in which nothing is said are left out and counted: half an answer
/// would teach to break off.
///
/// # Errors
/// If the template refuses a conversation, or none is left.
pub fn sft_examples(
    conversations: &[Conversation],
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    seq_len: usize,
    said: Said,
) -> Result<Examples, AlignError> {
    let (mut examples, mut dropped) = (Vec::new(), Dropped::default());
    for conversation in conversations {
        let turns = template.encode_turns(tokenizer, &conversation.messages, said).map_err(|error| {
            AlignError::Row {
                path: conversation.path.clone(),
                row: conversation.row,
                expected: "a conversation that the model's chat template renders".into(),
                found: error.to_string(),
            }
        })?;
        if turns.ids.len() > seq_len + 1 {
            dropped.add(format!("longer than {} tokens", seq_len + 1));
        } else if !turns.is_said.iter().skip(1).any(|is_said| *is_said) {
            dropped.add("in which the assistant says nothing");
        } else {
            let weights = turns.is_said.iter().map(|is_said| f32::from(u8::from(*is_said))).collect();
            examples.push(Example { ids: turns.ids, weights });
        }
    }
    if examples.is_empty() {
        let n_rows = conversations.len();
        let dropped = if dropped.0.is_empty() { String::new() } else { format!(": {dropped}") };
        return Err(AlignError::Nothing { expected: "conversations to learn from", n_rows, dropped });
    }
    Ok(Examples { examples, dropped })
}
