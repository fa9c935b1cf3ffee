//! Supervised fine-tuning: what the assistant says is learned, all else is context.

use std::{collections::HashMap, sync::Arc};

use base::hash::xxh3_128;
use data::{
    ChatTemplate, Said, Tokenizer, Turns,
    image::{ImageError, ImageLimits, RgbImage},
    interleaved::{PLACEHOLDER, has_place},
};
use train::{Example, Eyes};

use crate::{AlignError, Conversation, Dropped, OnRow, error::first_line};

/// Pictures of more bytes, in the size in which the model reads them, are refused: they are held in memory.
const MAX_PICTURE_BYTES: usize = 4 << 30;

/// Rows with broken pictures that are named.
const MAX_NOTICES: usize = 3;

/// Examples, and what was left out on the way.
#[derive(Clone, Debug)]
pub struct Examples {
    /// In the order of the conversations.
    pub examples: Vec<Example>,
    /// Conversations that were left out.
    pub dropped: Dropped,
    /// The first rows whose pictures could not be read, and why.
    pub notices: Vec<String>,
}

/// What conversations become examples for.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Of the model.
    pub template: &'a ChatTemplate,
    /// Of the model.
    pub tokenizer: &'a Tokenizer,
    /// The model's, where it has any.
    pub eyes: Option<&'a Eyes>,
    /// Longer conversations are left out.
    pub seq_len: usize,
    /// Which turns are learned.
    pub said: Said,
    /// What becomes of rows whose pictures cannot be read.
    pub on_row: OnRow,
}

/// The conversations as token ids, with weight 1 on what the assistant says, the token that ends its turn included, and 0 on
/// everything else: questions, pictures, system messages, what tools observed.
///
/// Conversations of more than `seq_len + 1` tokens and those in which nothing is said are left out and counted: half an answer
/// would teach to break off.
///
/// # Errors
/// If the template refuses a conversation, none is left, a conversation has pictures and the model reads none, or with
/// [`OnRow::Refuse`] if a picture cannot be read.
pub fn sft_examples(conversations: &[Conversation], reader: Reader) -> Result<Examples, AlignError> {
    let mut made = Examples { examples: Vec::new(), dropped: Dropped::default(), notices: Vec::new() };
    let mut pictures = Pictures::default();
    for conversation in conversations {
        let turns = turns(conversation, reader)?;
        if turns.ids.len() > reader.seq_len + 1 {
            made.dropped.add(format!("longer than {} tokens", reader.seq_len + 1));
            continue;
        }
        if !turns.is_said.iter().skip(1).any(|is_said| *is_said) {
            made.dropped.add("in which the assistant says nothing");
            continue;
        }
        let images = match reader.eyes {
            Some(eyes) => pictures.of(conversation, eyes),
            None => Ok(Vec::new()),
        };
        match (images, reader.on_row) {
            (Ok(images), _) => {
                let weights = turns.is_said.iter().map(|is_said| f32::from(u8::from(*is_said))).collect();
                made.examples.push(Example { ids: turns.ids, weights, images });
            }
            (Err(error), OnRow::Skip) => {
                made.dropped.add("with a picture that cannot be read");
                if made.notices.len() < MAX_NOTICES {
                    made.notices.push(error.to_string().replace("\nhint: ", "; "));
                }
            }
            (Err(error), OnRow::Refuse) => return Err(AlignError::Image(error)),
        }
        if pictures.n_bytes > MAX_PICTURE_BYTES {
            return Err(AlignError::PictureBytes);
        }
    }
    if made.examples.is_empty() {
        let n_rows = conversations.len();
        let mut dropped = match made.dropped.0.is_empty() {
            true => String::new(),
            false => format!(": {}", made.dropped),
        };
        made.notices.iter().take(1).for_each(|notice| dropped.push_str(&format!("; {notice}")));
        return Err(AlignError::Nothing { expected: "conversations to learn from", n_rows, dropped });
    }
    Ok(made)
}

/// A conversation as ids, with a placeholder for each patch of its pictures.
fn turns(conversation: &Conversation, reader: Reader) -> Result<Turns, AlignError> {
    let row = |expected: String, found: String| AlignError::Row {
        path: conversation.path.clone(),
        row: conversation.row,
        expected,
        found,
    };
    let n_images = conversation.images.len();
    if n_images > 0 && reader.eyes.is_none() {
        let (path, row) = (conversation.path.clone(), conversation.row);
        return Err(AlignError::NoEyes { path, row });
    }
    if let Some(message) = conversation.messages.iter().find(|m| m.role == "user" && has_place(&m.content))
        && reader.eyes.is_some()
    {
        let found =
            format!("a place for one more in {:?}", message.content.chars().take(40).collect::<String>());
        return Err(row(format!("a picture for each {PLACEHOLDER} in a text, {n_images} in all"), found));
    }
    let written = reader.template.encode_turns(reader.tokenizer, &conversation.messages, reader.said);
    let turns = written.map_err(|error| {
        row("a conversation that the model's chat template renders".into(), first_line(&error))
    })?;
    let Some(Eyes { vision, .. }) = reader.eyes else { return Ok(turns) };
    let n_written = turns.ids.iter().filter(|id| **id == vision.image_token).count();
    if n_written != n_images {
        let expected = format!(
            "a chat template that writes an image token for each part of type `image`, {n_images} in all"
        );
        return Err(row(expected, n_written.to_string()));
    }
    Ok(turns.expanded(vision.image_token, vision.n_patches()))
}

/// Pictures in the size in which the model reads them; equal ones once.
#[derive(Default)]
struct Pictures {
    known: HashMap<u128, Arc<RgbImage>>,
    n_bytes: usize,
}

impl Pictures {
    fn of(&mut self, conversation: &Conversation, eyes: &Eyes) -> Result<Vec<Arc<RgbImage>>, ImageError> {
        let (limits, preprocessing) = (ImageLimits::default(), &eyes.preprocessing);
        let place = format!("{}, row {}", conversation.path.display(), conversation.row);
        let mut images = Vec::with_capacity(conversation.images.len());
        for source in &conversation.images {
            let image = preprocessing.fitted(&source.decode(&place, &limits, preprocessing.background)?);
            let hash = xxh3_128(image.pixels());
            let n_bytes = image.pixels().len();
            let known = self.known.entry(hash).or_insert_with(|| {
                self.n_bytes += n_bytes;
                Arc::new(image)
            });
            images.push(Arc::clone(known));
        }
        Ok(images)
    }
}
