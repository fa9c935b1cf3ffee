//! Tools that a model may call, and what its answer must be.

use serde_json::{Value, json};

use super::{Fields, Ordered, fields::wrong};
use crate::{api_error::ApiError, app::App, grammar::Grammar, reply::CallFormat};

/// Most tools of a request.
const MAX_TOOLS: usize = 128;

/// What a request says of tools.
#[derive(Default)]
pub(super) struct Tools {
    /// How calls are written, where some may come: then the template is given the tools.
    pub(super) format: Option<CallFormat>,
    /// Whether one answer may have several calls.
    pub(super) is_parallel: bool,
    /// What the answer must be.
    pub(super) grammar: Option<Grammar>,
}

struct Tool {
    name: String,
    /// The schema of its arguments.
    parameters: Ordered,
    is_strict: bool,
}

impl Tools {
    /// What `fields` say of them; `body` has the same in order.
    pub(super) fn read(fields: &mut Fields, body: &Ordered, app: &App) -> Result<Self, ApiError> {
        let listed = fields.list("tools")?.filter(|list| !list.is_empty());
        let choice = fields.take("tool_choice");
        let is_parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let Some(listed) = listed else {
            return match choice {
                Some(choice) if choice != "none" && choice != "auto" => {
                    Err(ApiError::bad("tool_choice", "`tool_choice` goes together with `tools`"))
                }
                _ => Ok(Self::default()),
            };
        };
        if listed.len() > MAX_TOOLS {
            let message = format!("expected at most {MAX_TOOLS} tools, found {}", listed.len());
            return Err(ApiError::bad("tools", message));
        }
        let source = app.model.template.as_ref().map_or("", |template| template.source());
        let Some(format) = CallFormat::of(source) else {
            let message = match source.contains("tools") {
                true => {
                    "the chat template of this model writes calls in a form that this server does not read"
                }
                false => "the chat template of this model knows no tools",
            };
            return Err(ApiError::bad("tools", message).code("unsupported_value"));
        };
        let mut tools = Vec::new();
        for (i, tool) in listed.into_iter().enumerate() {
            let (name, is_strict) = read_tool(tool, &format!("tools[{i}]"))?;
            let listed = match body.get("tools") {
                Some(Ordered::List(listed)) => listed.get(i),
                _ => None,
            };
            let parameters = listed.and_then(|tool| tool.get("function")?.get("parameters"));
            let parameters = of_objects(parameters).map_err(|found| {
                wrong(
                    &format!("tools[{i}].function.parameters.type"),
                    "`object`: arguments have names",
                    &found,
                )
            })?;
            tools.push(Tool { name, parameters, is_strict });
        }
        let wanted: Vec<&Tool> = match choice {
            None => Vec::new(),
            Some(Value::String(choice)) if choice == "auto" => Vec::new(),
            // A model that is not to call is not shown how.
            Some(Value::String(choice)) if choice == "none" => return Ok(Self::default()),
            Some(Value::String(choice)) if choice == "required" => tools.iter().collect(),
            Some(choice @ Value::Object(_)) => {
                let name = chosen(choice)?;
                let tool = tools.iter().find(|tool| tool.name == name);
                let message = "expected the name of one of `tools`";
                vec![tool.ok_or_else(|| ApiError::bad("tool_choice.function.name", message))?]
            }
            Some(other) => {
                return Err(wrong("tool_choice", "`auto`, `none`, `required` or a function", &other));
            }
        };
        if wanted.is_empty()
            && let Some(i) = tools.iter().position(|tool| tool.is_strict)
        {
            let message = "`strict` needs a `tool_choice` of `required` or a function: only then is a call held to its schema";
            return Err(
                ApiError::bad(format!("tools[{i}].function.strict"), message).code("unsupported_value")
            );
        }
        let calls: Vec<(&str, &Ordered)> =
            wanted.iter().map(|tool| (tool.name.as_str(), &tool.parameters)).collect();
        let grammar =
            (!calls.is_empty()).then(|| app.grammars.call(&app.model.tokenizer, &calls, format.frame()));
        let grammar = grammar.transpose().map_err(|error| {
            ApiError::bad(
                "tools",
                format!(
                    "a schema cannot be followed: {error}\nhint: docs/serve.md lists the keywords that are"
                ),
            )
            .code("unsupported_schema")
        })?;
        Ok(Self { format: Some(format), is_parallel, grammar })
    }
}

/// The schema of arguments, which are an object even where it does not say so; what else its type is where it does.
fn of_objects(parameters: Option<&Ordered>) -> Result<Ordered, Value> {
    // Beside these a type of its own is another rule, which the alternatives must keep anyway.
    const ALTERNATIVES: [&str; 6] = ["$ref", "anyOf", "oneOf", "allOf", "enum", "const"];
    let object = || Ordered::Text("object".to_owned());
    let Some(Ordered::Object(fields)) = parameters else {
        return Ok(Ordered::Object(vec![("type".to_owned(), object())]));
    };
    let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value);
    match field("type") {
        Some(kind) if *kind != object() => Err(kind.value()),
        None if !ALTERNATIVES.iter().any(|name| field(name).is_some()) => {
            let kind = ("type".to_owned(), object());
            Ok(Ordered::Object([kind].into_iter().chain(fields.iter().cloned()).collect()))
        }
        _ => Ok(Ordered::Object(fields.clone())),
    }
}

/// The name of a tool, and whether its schema must be kept.
fn read_tool(tool: Value, path: &str) -> Result<(String, bool), ApiError> {
    let mut tool = Fields::of(tool, path)?;
    match tool.text("type")? {
        Some(kind) if kind == "function" => {}
        Some(_) => {
            return Err(tool.bad("type", "expected a tool of type `function`").code("unsupported_value"));
        }
        None => return Err(tool.missing("type")),
    }
    let mut function = tool.object("function")?.ok_or_else(|| tool.missing("function"))?;
    let name = function.text("name")?.ok_or_else(|| function.missing("name"))?;
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    if !is_name(&name) {
        return Err(function.bad("name", "expected a name of 1 to 64 letters, digits, `_` and `-`"));
    }
    function.text("description")?;
    let parameters = function.take("parameters").unwrap_or_else(|| json!({}));
    if !parameters.is_object() {
        return Err(wrong(&function.path("parameters"), "a JSON schema", &parameters));
    }
    let is_strict = function.flag("strict")?.unwrap_or(false);
    function.end()?;
    tool.end()?;
    Ok((name, is_strict))
}

/// The function that must be called.
fn chosen(choice: Value) -> Result<String, ApiError> {
    let mut choice = Fields::of(choice, "tool_choice")?;
    choice.only("type", |kind| kind == "function", "tools are functions")?;
    let mut function = choice.object("function")?.ok_or_else(|| choice.missing("function"))?;
    let name = function.text("name")?.ok_or_else(|| function.missing("name"))?;
    function.end()?;
    choice.end()?;
    Ok(name)
}

/// What `response_format` says an answer must be; nothing for a text. `body` has the schema in order.
pub(super) fn response_format(
    fields: &mut Fields,
    body: &Ordered,
    app: &App,
) -> Result<Option<Grammar>, ApiError> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    let kind = format.text("type")?.ok_or_else(|| format.missing("type"))?;
    let tokenizer = &app.model.tokenizer;
    let grammar = match kind.as_str() {
        "text" => None,
        "json_object" => Some(app.grammars.object(tokenizer)),
        "json_schema" => {
            let mut json_schema =
                format.object("json_schema")?.ok_or_else(|| format.missing("json_schema"))?;
            json_schema.text("name")?;
            json_schema.text("description")?;
            // It is followed in any case.
            json_schema.flag("strict")?;
            json_schema.take("schema").ok_or_else(|| json_schema.missing("schema"))?;
            json_schema.end()?;
            let schema =
                body.get("response_format").and_then(|format| format.get("json_schema")?.get("schema"));
            schema.map(|schema| app.grammars.schema(tokenizer, schema))
        }
        _ => {
            let expected = "`text`, `json_object` or `json_schema`";
            return Err(wrong(&format.path("type"), expected, &Value::String(kind)));
        }
    };
    format.end()?;
    grammar.transpose().map_err(|error| {
        let message = format!(
            "the schema cannot be followed: {error}\nhint: docs/serve.md lists the keywords that are"
        );
        ApiError::bad("response_format.json_schema.schema", message).code("unsupported_schema")
    })
}
