//! Messages of a conversation.

use serde::{Deserialize, Serialize};

/// Who speaks, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user` or `assistant`; templates may know others.
    pub role: String,
    /// The text.
    pub content: String,
    /// Images in front of the text.
    #[serde(skip)]
    pub n_images: usize,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into(), n_images: 0 }
    }

    /// The same message with images in front of its text.
    pub fn with_images(self, n_images: usize) -> Self {
        Self { n_images, ..self }
    }

    /// Whether the role is a plain name, which templates may spell a special token with.
    pub(super) fn has_plain_role(&self) -> bool {
        is_plain_role(&self.role)
    }
}

/// Whether a role is a plain name, which templates may spell a special token with.
pub(super) fn is_plain_role(role: &str) -> bool {
    !role.is_empty() && role.chars().all(|c| c.is_alphanumeric() || "_- .".contains(c))
}
