//! Which rows of a file are held out, where the same file has those to train on and those to test with.

use base::hash::Xxh3;
use serde::{Deserialize, Serialize};

use crate::{
    DataError,
    interleaved::{Row, RowPart},
};

/// Rows that are held out: `split` in the `[data.pictures]` table of a recipe.
///
/// ```
/// use data::pictures::RowSplit;
///
/// // A tenth of the pictures; a tenth of the stories, each with all its pages; the rows that say so themselves.
/// let ways = [
///     RowSplit::of_pictures(0.1),
///     RowSplit::of_field("story", 0.1),
///     RowSplit::of_value("split", "test"),
/// ];
/// assert!(ways.iter().all(|split| split.validate().is_ok()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RowSplit {
    /// The field that decides; rows in which it is the same stay together. Where it is missing, the pictures decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Which part is held out, by a hash: what is held out of a smaller part is so of every larger one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Or the values of the field that are held out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl RowSplit {
    /// A part of the pictures.
    pub fn of_pictures(share: f64) -> Self {
        Self { share: Some(share), ..Self::default() }
    }

    /// A part of what a field names.
    pub fn of_field(field: &str, share: f64) -> Self {
        Self { by: Some(field.to_owned()), ..Self::of_pictures(share) }
    }

    /// The rows in which a field has this value.
    pub fn of_value(field: &str, value: &str) -> Self {
        Self { by: Some(field.to_owned()), values: vec![value.to_owned()], ..Self::default() }
    }

    /// Every rule that the settings must keep.
    ///
    /// # Errors
    /// [`DataError::Setting`] for the first setting out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        let refuse = |expected, found: String, hint| {
            Err(DataError::Setting { name: "pictures.split", expected, found, hint })
        };
        match (self.share, &self.by) {
            (None, _) if self.values.is_empty() => {
                let hint = "split = { share = 0.1 } holds a tenth of the pictures out";
                refuse("a `share`, or `by` with `values`", "neither".to_owned(), hint)
            }
            (Some(_), _) if !self.values.is_empty() => {
                refuse("a `share` or `values`", "both".to_owned(), "remove one of them")
            }
            (Some(share), _) if !(share > 0.0 && share < 1.0) => {
                refuse("a `share` above 0 and below 1", share.to_string(), "0.1 is a tenth")
            }
            (None, None) => {
                refuse("`by` beside `values`", "none".to_owned(), "name the field that has these values")
            }
            _ => Ok(()),
        }
    }

    /// Whether the row is held out.
    ///
    /// # Errors
    /// If it has no such field.
    pub fn holds_out(&self, row: &Row) -> Result<bool, DataError> {
        let mut hash = Xxh3::new();
        match &self.by {
            Some(name) => {
                let value = row.field(name).ok_or_else(|| DataError::OtherFormat {
                    path: row.place.clone().into(),
                    expected: "a row that `split` can put on a side",
                    found: format!("one without a short field `{name}`"),
                    hint: "name another field, or leave `by` out: then the pictures decide".to_owned(),
                })?;
                if self.share.is_none() {
                    return Ok(self.values.iter().any(|held_out| held_out == value));
                }
                hash.update(value.as_bytes());
            }
            None => {
                let images = row.parts.iter().filter_map(|part| match part {
                    RowPart::Image(bytes) => Some(bytes),
                    RowPart::Text(_) | RowPart::Question(_) => None,
                });
                images.for_each(|bytes| hash.update(bytes));
            }
        }
        // The upper 53 bits, as a number from 0 to 1.
        let place = (hash.digest128() >> 75) as f64 / (1u64 << 53) as f64;
        Ok(self.share.is_some_and(|share| place < share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(i: usize, story: &str) -> Row {
        let parts = vec![RowPart::Image(i.to_le_bytes().to_vec()), RowPart::Text("x".to_owned())];
        Row {
            fields: vec![("story".to_owned(), story.to_owned())],
            ..Row::new(format!("a.jsonl:line {i}"), parts)
        }
    }

    #[test]
    fn rows_that_belong_together_stay_together_and_a_larger_share_holds_the_smaller() {
        let split = |share| RowSplit::of_field("story", share);
        let stories: Vec<String> = (0..400).map(|i| i.to_string()).collect();
        let held_out = |split: &RowSplit| -> Vec<bool> {
            let of = |story: &String| {
                let [a, b] = [1, 2].map(|page| split.holds_out(&row(page, story)).unwrap());
                assert_eq!(a, b, "pages of {story}");
                a
            };
            stories.iter().map(of).collect()
        };
        let (few, many) = (held_out(&split(0.1)), held_out(&split(0.3)));
        let n = few.iter().filter(|is| **is).count();
        assert!((20..=65).contains(&n), "{n} of 400");
        assert!(few.iter().zip(&many).all(|(few, many)| !few || *many));

        let by_picture = RowSplit::of_pictures(0.25);
        let n = (0..400).filter(|i| by_picture.holds_out(&row(*i, "a")).unwrap()).count();
        assert!((70..=130).contains(&n), "{n} of 400");
        let named = RowSplit::of_value("story", "b");
        assert_eq!(["a", "b"].map(|story| named.holds_out(&row(0, story)).unwrap()), [false, true]);
        let error = RowSplit::of_field("book", 0.1).holds_out(&row(7, "a")).unwrap_err().to_string();
        assert!(
            error.contains("a.jsonl:line 7") && error.contains("without a short field `book`"),
            "{error}"
        );
    }

    #[test]
    fn settings_that_say_nothing_or_two_things_are_refused() {
        let message = |split: RowSplit| split.validate().unwrap_err().to_string();
        assert!(message(RowSplit::default()).contains("found neither"));
        assert!(
            message(RowSplit { share: Some(0.1), ..RowSplit::of_value("a", "b") }).contains("found both")
        );
        for share in [0.0, 1.0, f64::NAN] {
            assert!(message(RowSplit::of_pictures(share)).contains("above 0 and below 1"));
        }
        assert!(
            message(RowSplit { by: None, ..RowSplit::of_value("a", "b") }).contains("`by` beside `values`")
        );
    }
}
