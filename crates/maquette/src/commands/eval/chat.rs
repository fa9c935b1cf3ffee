//! Items put to a model in conversations.

use eval::ChatFormat;

/// Whether and how the chat template is applied, with the names that lm-evaluation-harness has for it.
#[derive(Debug, clap::Args)]
pub(super) struct ChatArgs {
    /// Put every item to the model as a conversation in the words of its chat template, as lm-evaluation-harness does
    #[arg(long, alias = "apply_chat_template")]
    apply_chat_template: bool,
    /// With --apply-chat-template: each example is a turn of its own; `false` puts all into one message with the question
    #[arg(
        long,
        alias = "fewshot_as_multiturn",
        value_name = "BOOL",
        num_args = 0..=1,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        requires = "apply_chat_template"
    )]
    fewshot_as_multiturn: bool,
    /// With --apply-chat-template: text of the system message, in front of the benchmark's own description
    #[arg(long, alias = "system_instruction", value_name = "TEXT", requires = "apply_chat_template")]
    system_instruction: Option<String>,
}

impl ChatArgs {
    /// How items are made conversations, if they are.
    pub(super) fn format(&self) -> Option<ChatFormat> {
        let system = self.system_instruction.clone().filter(|text| !text.is_empty());
        self.apply_chat_template.then_some(ChatFormat { system, multiturn: self.fewshot_as_multiturn })
    }
}
