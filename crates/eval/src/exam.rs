//! A task put to a model: items scored one after another, into a file that can be continued.

mod bias;
mod items_file;
mod metric;
mod score;
mod summary;
#[cfg(test)]
pub(crate) mod testing;

use data::{ChatTemplate, Tokenizer};
use serde::{Deserialize, Serialize};

pub use items_file::ItemsFile;
pub use metric::{rescore, run_programs};
pub use score::{ChoiceScore, ItemScore, Judged, Output, Target};
pub use summary::{
    CategorySummary, MetricSummary, TaskSummary, categories, centred, group, is_share, judged,
    summarise_items,
};

use crate::{ChatFormat, Drawing, ExamError, Item, Items, Pair, Scorer, Task};

/// Items that are scored together: enough for many to share what they begin with, few enough to lose little to a kill.
const BLOCK_ITEMS: usize = 64;

/// What the scores of a task depend on, beside the items themselves. A file of items is continued only with the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The task.
    pub task: String,
    /// Its version.
    pub version: u32,
    /// Hash of the task's file.
    pub task_sha256: String,
    /// Examples in front of an item.
    pub shots: usize,
    /// Items that the data have.
    pub n_all: usize,
    /// Files that were read: name and hash.
    pub data: Vec<(String, String)>,
    /// What differs from the original data.
    pub notes: Vec<String>,
    /// Hash of the model's weights.
    pub weights_sha256: String,
    /// Fingerprint of the tokenizer.
    pub tokenizer: String,
    /// Data type of activations.
    pub dtype: String,
    /// The endpoint that was examined, and the model's name there, in place of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<(String, String)>,
    /// Hash of the chat template, where items are put in a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_sha256: Option<String>,
    /// How items that are no conversations are made such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatFormat>,
    /// FLOPs of one token of a forward pass, half of the model's context before it; none of an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_per_token: Option<f64>,
    /// How answers were drawn, where they are generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawing: Option<Drawing>,
}

/// Scores the items that `file` does not have yet and appends them, block by block. Those that are conversations are put in the
/// words of `template`. `progress` is told how many items are
/// done, and ends the work early by returning false.
///
/// # Errors
/// If an item does not fit the model, or the file cannot be written.
pub fn examine(
    task: &Task,
    items: &Items,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    scorer: &mut Scorer<'_>,
    file: &mut ItemsFile,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<(), ExamError> {
    let max_seq_len = scorer.max_seq_len();
    let n_done = file.n_items();
    for (block, items) in items.items.chunks(BLOCK_ITEMS).enumerate() {
        let first = block * BLOCK_ITEMS;
        let skipped = n_done.saturating_sub(first).min(items.len());
        let items = &items[skipped..];
        if items.is_empty() {
            continue;
        }
        let mut pairs = Vec::new();
        for item in items {
            let of_item = match (task.whole, template) {
                (true, _) => Pair::encode_whole(tokenizer, task.kind, item.pairs()),
                (false, Some(template)) if !item.chat.is_empty() => chat_pairs(tokenizer, template, item)?,
                (false, _) => {
                    item.pairs().map(|(context, choice)| Pair::encode(tokenizer, context, choice)).collect()
                }
            };
            for pair in of_item {
                let n_scored = pair.continuation().len();
                if n_scored == 0 || n_scored > max_seq_len {
                    return Err(ExamError::Continuation { place: item.place.clone(), n_scored, max_seq_len });
                }
                pairs.push(pair);
            }
        }
        let likelihoods = scorer.score(&pairs);
        let mut scored = pairs.iter().zip(likelihoods);
        let mut scores = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let of_item: Vec<_> = scored.by_ref().take(item.n_pairs()).collect();
            scores.push(metric::scored(task, first + skipped + i, item, &of_item));
        }
        file.append(scores)?;
        if !progress(file.n_items()) {
            return Ok(());
        }
    }
    Ok(())
}

/// The choices of an item in a conversation.
fn chat_pairs(tokenizer: &Tokenizer, template: &ChatTemplate, item: &Item) -> Result<Vec<Pair>, ExamError> {
    let mut pairs = Vec::with_capacity(item.n_pairs());
    let continuations: Vec<&str> = item.pairs().map(|(_, continuation)| continuation).collect();
    // Of several contexts each has its own continuation.
    let each = continuations.len() / item.chat.len();
    for (messages, continuations) in item.chat.iter().zip(continuations.chunks(each.max(1))) {
        let of_context = Pair::encode_chat(tokenizer, template, messages, continuations.iter().copied());
        pairs.extend(of_context?);
    }
    Ok(pairs)
}
