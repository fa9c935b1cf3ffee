//! Jinja2, as transformers sets it up for chat templates.
//!
//! An interpreter of our own, for three things that no library gives: every value knows which of its characters a person
//! typed, every step and every byte is counted before it is spent, and the values are Python's, down to how a float or a
//! dictionary is printed. What is not computed as Jinja2 computes it is refused by name.

mod ast;
mod attribute;
mod call;
mod case;
mod compare;
mod date;
mod failure;
mod filter;
mod format;
mod interpreter;
mod json;
mod lexer;
mod meter;
mod number;
mod operator;
mod parser;
mod printf;
mod scope;
mod show;
mod str_method;
mod stream;
mod test;
mod text;
mod value;

use chrono::NaiveDateTime;

use ast::{Name, Node};
use meter::Meter;

pub(crate) use failure::{Failure, Kind, Result};
pub(crate) use text::{Char, TYPED, Text, to_char};
pub(crate) use value::{Dict, Value};

/// Stack of the thread that parses or runs a template: the limits on nesting keep far below it.
const STACK_BYTES: usize = 64 << 20;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
    /// Names that are undefined until the template sets them.
    unset: Vec<Name>,
}

impl Template {
    pub(crate) fn parse(source: &str) -> Result<Self> {
        on_large_stack(|| {
            let mut nodes = parser::parse(source)?;
            let unset = scope::resolve(&mut nodes);
            Ok(Self { nodes, unset })
        })
    }

    /// The names that must be given: read, outside of loops and macros, before the template sets them.
    pub(crate) fn reads(&self) -> Vec<Name> {
        const GLOBALS: [&str; 7] =
            ["range", "dict", "namespace", "cycler", "joiner", "raise_exception", "strftime_now"];
        let mut names = scope::read_first(&self.nodes);
        names.retain(|name| !GLOBALS.contains(&&**name));
        names
    }

    /// Runs several templates over each of several JSON objects, whose fields are their variables; in an object's
    /// own place they are one after another. An error comes with the number of its object.
    pub(crate) fn render_rows(
        templates: &[&Self],
        objects: &[String],
    ) -> std::result::Result<Vec<Vec<Text>>, (usize, Failure)> {
        let mut at = 0;
        let rendered = on_large_stack(|| {
            let mut rows = Vec::with_capacity(objects.len());
            for (i, object) in objects.iter().enumerate() {
                at = i;
                let meter = Meter::default();
                let variables = Context { meter: &meter }.json_object(object)?;
                let mut row = Vec::with_capacity(templates.len());
                for template in templates {
                    let given = variables.clone();
                    let text = interpreter::render(&template.nodes, &template.unset, given, None, &meter)?;
                    text::check_surrogates(text.chars())?;
                    row.push(text);
                }
                rows.push(row);
            }
            Ok(rows)
        });
        rendered.map_err(|failure| (at, failure))
    }

    /// Runs the template with what `variables` makes; `now` is what its clock shows, or else the time.
    pub(crate) fn render(
        &self,
        variables: impl FnOnce(&Context<'_>) -> Result<Vec<(Name, Value)>> + Send,
        now: Option<NaiveDateTime>,
    ) -> Result<Text> {
        on_large_stack(|| {
            let meter = Meter::default();
            let variables = variables(&Context { meter: &meter })?;
            let text = interpreter::render(&self.nodes, &self.unset, variables, now, &meter)?;
            text::check_surrogates(text.chars())?;
            Ok(text)
        })
    }
}

/// Makes the variables of a rendering.
pub(crate) struct Context<'m> {
    meter: &'m Meter,
}

impl Context<'_> {
    /// A dictionary.
    pub(crate) fn dict(&self, entries: Vec<(&str, Value)>) -> Result<Value> {
        let entries = entries.into_iter().map(|(key, value)| (Value::text(key), value));
        Dict::new(entries, self.meter).map(Value::Dict)
    }

    pub(crate) fn list(&self, items: Vec<Value>) -> Result<Value> {
        Value::list(items, self.meter)
    }

    /// The entries of a JSON object, in their order.
    pub(crate) fn json_object(&self, json: &str) -> Result<Vec<(Name, Value)>> {
        self.object(json, false)
    }

    /// As [`Context::json_object`], of texts that a person typed.
    pub(crate) fn typed_json_object(&self, json: &str) -> Result<Vec<(Name, Value)>> {
        self.object(json, true)
    }

    fn object(&self, json: &str, typed: bool) -> Result<Vec<(Name, Value)>> {
        let Value::Dict(dict) = json::parse(json, typed, self.meter)? else {
            return failure::fail("expected a JSON object");
        };
        let name = |key: &Value| Name::from(json::brief(key, self.meter));
        Ok(dict.entries.iter().map(|(key, value)| (name(key), value.clone())).collect())
    }
}

/// Runs `work` where deeply nested templates fit.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("chat template".into()).stack_size(STACK_BYTES);
        let failed = |what: &str| Failure::new(Kind::Limit, what);
        match thread.spawn_scoped(scope, work) {
            Ok(handle) => handle.join().unwrap_or_else(|_| Err(failed("the template ended its thread"))),
            Err(error) => Err(failed(&format!("cannot start a thread: {error}"))),
        }
    })
}
