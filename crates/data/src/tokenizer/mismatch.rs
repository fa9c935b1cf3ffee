//! Why a tokenizer is refused.

/// What was expected and what was found.
pub(super) type Mismatch = (String, String);
