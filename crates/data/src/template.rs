//! Templates of Jinja over the rows of a table.

use crate::{
    DataError,
    chat::jinja::{self, Failure},
};

/// A template in Jinja that makes text of a row's fields, by the interpreter of [`crate::ChatTemplate`] and within its
/// limits. A line break at the end of the template is kept.
///
/// ```
/// let prompt = data::Template::parse("Question: {{ question.strip() }}\nAnswer:")?;
/// assert_eq!(prompt.reads(), ["question"]);
/// let rows = [r#"{"question": " Why? "}"#.to_owned()];
/// let texts = data::Template::render_rows(&[&prompt], &rows).unwrap();
/// assert_eq!(texts[0][0], "Question: Why?\nAnswer:");
/// # Ok::<(), data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Template {
    compiled: jinja::Template,
    reads: Vec<String>,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// If it is no Jinja2, or uses what is refused.
    pub fn parse(source: &str) -> Result<Self, DataError> {
        // Of the line breaks at the end Jinja2 drops one, unless it is told to keep it.
        let kept = if source.ends_with('\n') { format!("{source}\n") } else { source.to_owned() };
        let compiled = jinja::Template::parse(&kept).map_err(refuse)?;
        let reads = compiled.reads().iter().map(|name| name.to_string()).collect();
        Ok(Self { compiled, reads })
    }

    /// The fields that a row must have.
    pub fn reads(&self) -> &[String] {
        &self.reads
    }

    /// The texts that `templates` make of each row, a JSON object.
    ///
    /// # Errors
    /// If a template refuses a row or goes beyond its limits: the row's number, from 0, and why.
    pub fn render_rows(templates: &[&Self], rows: &[String]) -> Result<Vec<Vec<String>>, (usize, DataError)> {
        let compiled: Vec<&jinja::Template> = templates.iter().map(|template| &template.compiled).collect();
        let texts = jinja::Template::render_rows(&compiled, rows).map_err(|(i, error)| (i, refuse(error)))?;
        Ok(texts.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect())
    }
}

fn refuse(failure: Failure) -> DataError {
    DataError::Template { found: failure.to_string() }
}
