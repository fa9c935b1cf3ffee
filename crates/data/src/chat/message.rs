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
    /// Where images stand: bytes of the text before each, ascending, at the ends of characters; 0 for those in front.
    #[serde(skip)]
    pub images_at: Vec<usize>,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into(), images_at: Vec::new() }
    }

    /// The same message with images in front of its text.
    pub fn with_images(self, n_images: usize) -> Self {
        Self { images_at: vec![0; n_images], ..self }
    }

    /// The text between the images, one piece more than there are images.
    pub(super) fn pieces(&self) -> Vec<&str> {
        let ends = self.images_at.iter().copied().chain([self.content.len()]);
        let starts = [0].into_iter().chain(self.images_at.iter().copied());
        starts.zip(ends).map(|(start, end)| self.content.get(start..end).unwrap_or_default()).collect()
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
