//! A JSON schema as a grammar.
//!
//! Every keyword is followed, says nothing about a value, or is refused by name. Where a schema allows more than is written here (other
//! spaces, more digits, fields that it does not name), answers are some of its values.

use std::collections::{HashMap, HashSet};

use super::{
    json,
    node::{Node, NodeId, Nodes},
    number,
};
use crate::ask::Ordered;

/// Keywords that say nothing about a value.
const ANNOTATIONS: [&str; 12] = [
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "deprecated",
    "readOnly",
    "writeOnly",
];

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Keywords of each type, by the types' order.
const OF_TYPE: [&[&str]; 7] = [
    &[],
    &[],
    &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
    &["minimum", "maximum"],
    &["minLength", "maxLength", "format"],
    &["items", "minItems", "maxItems", "uniqueItems"],
    &["properties", "required", "additionalProperties"],
];

/// Most characters or items that are counted.
const MAX_COUNT: u64 = 10_000;

/// Most fields of an object, listed values or alternatives.
const MAX_BRANCHES: usize = 4096;

/// Most schemas within each other, those that `$ref`s lead to among them.
const MAX_DEPTH: usize = 200;

/// The grammar of a schema's values.
pub(super) fn compile(nodes: &mut Nodes, schema: &Ordered) -> Result<NodeId, String> {
    Compiler { nodes, root: schema, references: HashMap::new(), any: None, depth: 0 }.schema(schema)
}

struct Compiler<'a> {
    nodes: &'a mut Nodes,
    root: &'a Ordered,
    /// The nodes of what `$ref`s lead to.
    references: HashMap<String, NodeId>,
    any: Option<NodeId>,
    depth: usize,
}

type Fields<'a> = &'a [(String, Ordered)];

fn field<'a>(fields: Fields<'a>, name: &str) -> Option<&'a Ordered> {
    fields.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
}

fn refuse(keyword: &str) -> String {
    format!("the keyword `{}` cannot be followed", keyword.chars().take(60).collect::<String>())
}

impl Compiler<'_> {
    fn schema(&mut self, schema: &Ordered) -> Result<NodeId, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("it is too deep: more than {MAX_DEPTH} schemas within each other"));
        }
        self.depth += 1;
        let node = self.node(schema);
        self.depth -= 1;
        node
    }

    fn node(&mut self, schema: &Ordered) -> Result<NodeId, String> {
        let fields = match schema {
            Ordered::Bool(true) => return self.any(),
            Ordered::Bool(false) => return self.nodes.either(Vec::new()),
            Ordered::Object(fields) => fields.as_slice(),
            _ => return Err("expected an object as the schema".into()),
        };
        let mut said =
            fields.iter().map(|(name, _)| name.as_str()).filter(|name| !ANNOTATIONS.contains(name));
        // One of these stands alone: what stands beside it would have to hold as well.
        for name in ["$ref", "anyOf", "oneOf", "allOf"] {
            let Some(value) = field(fields, name) else { continue };
            if let Some(other) = said.find(|other| *other != name) {
                return Err(format!("{} beside `{name}`", refuse(other)));
            }
            return match name {
                "$ref" => self.reference(value),
                "allOf" => match value {
                    Ordered::List(all) if all.len() == 1 => self.schema(&all[0]),
                    _ => Err(format!("{} with several schemas", refuse(name))),
                },
                _ => self.alternatives(name, value),
            };
        }
        if let Some(value) = field(fields, "const") {
            return self.literals(fields, std::slice::from_ref(value));
        }
        if let Some(value) = field(fields, "enum") {
            let Ordered::List(values) = value else { return Err("expected a list in `enum`".into()) };
            return self.literals(fields, values);
        }
        let types = types(fields)?;
        for name in said {
            let is_known = |place: usize| OF_TYPE[place].contains(&name);
            let is_of_no_account = (0..TYPES.len()).any(is_known);
            let is_followed = types.iter().any(|place| is_known(*place));
            // `minimum` of a string and the like say nothing, but are slips.
            if name != "type" && !is_followed {
                return Err(match is_of_no_account {
                    true => format!("the keyword `{name}` does not go together with its `type`"),
                    false => refuse(name),
                });
            }
        }
        if fields.iter().all(|(name, _)| ANNOTATIONS.contains(&name.as_str())) {
            return self.any();
        }
        let all = types.into_iter().map(|place| self.of_type(place, fields)).collect::<Result<_, _>>()?;
        self.nodes.either(all)
    }

    fn any(&mut self) -> Result<NodeId, String> {
        if self.any.is_none() {
            self.any = Some(json::any(self.nodes)?);
        }
        self.any.ok_or_else(String::new)
    }

    fn of_type(&mut self, place: usize, fields: Fields<'_>) -> Result<NodeId, String> {
        match TYPES[place] {
            "null" => self.nodes.text("null"),
            "boolean" => {
                let both = vec![self.nodes.text("true")?, self.nodes.text("false")?];
                self.nodes.either(both)
            }
            "integer" => {
                let (least, most) = (bound(fields, "minimum", true)?, bound(fields, "maximum", false)?);
                let above = bound(fields, "exclusiveMinimum", false)?.map(|n| n.saturating_add(1));
                let below = bound(fields, "exclusiveMaximum", true)?.map(|n| n.saturating_sub(1));
                if field(fields, "multipleOf").is_some_and(|of| of.json() != "1") {
                    return Err(refuse("multipleOf"));
                }
                number::integer(
                    self.nodes,
                    least.into_iter().chain(above).max(),
                    most.into_iter().chain(below).min(),
                )
            }
            "number" => {
                number::number(self.nodes, whole_bound(fields, "minimum")?, whole_bound(fields, "maximum")?)
            }
            "string" => self.string(fields),
            "array" => self.array(fields),
            _ => self.object(fields),
        }
    }

    fn string(&mut self, fields: Fields<'_>) -> Result<NodeId, String> {
        let (least, most) = (count(fields, "minLength")?, count(fields, "maxLength")?);
        let Some(format) = field(fields, "format") else {
            return json::string(self.nodes, least.unwrap_or(0), most);
        };
        let Ordered::Text(format) = format else { return Err("expected a text in `format`".into()) };
        if least.is_some() || most.is_some() {
            return Err(format!("{} beside a length", refuse("format")));
        }
        // Digits are `d`, hexadecimal ones `h`. Days go to 28 and seconds to 59, which every month and minute has.
        let parts: &[&str] = match format.as_str() {
            "date" => &["Y-M-D"],
            "time" => &["H:I:I", "Z"],
            "date-time" => &["Y-M-D", "T", "H:I:I", "Z"],
            "uuid" => &["hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"],
            _ => {
                return Err(format!(
                    "{} with `{}`",
                    refuse("format"),
                    format.chars().take(40).collect::<String>()
                ));
            }
        };
        let mut all = vec![self.nodes.text("\"")?];
        for letter in parts.concat().chars() {
            all.push(match letter {
                'h' => self.nodes.one(&[(b'0', b'9'), (b'a', b'f')])?,
                'Y' => number::integer(self.nodes, Some(1000), Some(9999))?,
                'M' => self.padded(1, 12)?,
                'D' => self.padded(1, 28)?,
                'H' => self.padded(0, 23)?,
                'I' => self.padded(0, 59)?,
                other => self.nodes.text(&other.to_string())?,
            });
        }
        all.push(self.nodes.text("\"")?);
        self.nodes.sequence(all)
    }

    /// Two digits.
    fn padded(&mut self, least: u32, most: u32) -> Result<NodeId, String> {
        let all = (least..=most).map(|n| self.nodes.text(&format!("{n:02}"))).collect::<Result<_, _>>()?;
        self.nodes.either(all)
    }

    fn array(&mut self, fields: Fields<'_>) -> Result<NodeId, String> {
        if field(fields, "uniqueItems").is_some_and(|unique| *unique != Ordered::Bool(false)) {
            return Err(refuse("uniqueItems"));
        }
        let item = match field(fields, "items") {
            Some(items) => self.schema(items)?,
            None => self.any()?,
        };
        let (least, most) = (count(fields, "minItems")?.unwrap_or(0), count(fields, "maxItems")?);
        if most.is_some_and(|most| most < least) {
            return self.nodes.either(Vec::new());
        }
        json::list(self.nodes, item, least, most, ("[", "]"))
    }

    /// Fields come in the order of the schema; those that it does not name are left out, unless it names none.
    fn object(&mut self, fields: Fields<'_>) -> Result<NodeId, String> {
        let none = Vec::new();
        let properties = match field(fields, "properties") {
            None => &none,
            Some(Ordered::Object(properties)) => properties,
            Some(_) => return Err("expected an object in `properties`".into()),
        };
        let required = match field(fields, "required") {
            None => &[][..],
            Some(Ordered::List(names)) => names.as_slice(),
            Some(_) => return Err("expected a list in `required`".into()),
        };
        few("properties", properties.len())?;
        few("required", required.len())?;
        let is_required: HashSet<&str> = required.iter().filter_map(text).collect();
        let more = match field(fields, "additionalProperties") {
            None => &Ordered::Bool(true),
            Some(more) => more,
        };
        let mut all: Vec<(&str, NodeId, bool)> = Vec::new();
        for (name, schema) in properties {
            all.push((name, self.schema(schema)?, is_required.contains(name.as_str())));
        }
        let mut known: HashSet<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
        for name in required {
            let name = text(name).ok_or("expected texts in `required`")?;
            if known.insert(name) {
                all.push((name, self.schema(more)?, true));
            }
        }
        let value = self.schema(more)?;
        if all.is_empty() {
            return json::map(
                self.nodes,
                value,
                0,
                if *more == Ordered::Bool(false) { Some(0) } else { None },
            );
        }
        // From behind: what comes after each field, where one came before it and where none did.
        let end = self.nodes.text("}")?;
        let (mut first, mut later) = (end, end);
        for (name, value, is_required) in all.into_iter().rev() {
            let name = serde_json::Value::from(name);
            let with = |nodes: &mut Nodes, comma: &str| {
                let head = nodes.text(&format!("{comma}{name}: "))?;
                nodes.sequence(vec![head, value, later])
            };
            let (with_first, with_later) = (with(self.nodes, "")?, with(self.nodes, ", ")?);
            (first, later) = match is_required {
                true => (with_first, with_later),
                false => {
                    (self.nodes.either(vec![with_first, first])?, self.nodes.either(vec![with_later, later])?)
                }
            };
        }
        let open = self.nodes.text("{")?;
        self.nodes.sequence(vec![open, first])
    }

    /// Values that are listed, of which those of the schema's type count.
    fn literals(&mut self, fields: Fields<'_>, values: &[Ordered]) -> Result<NodeId, String> {
        let said = fields.iter().map(|(name, _)| name.as_str());
        if let Some(other) = said
            .into_iter()
            .find(|name| !ANNOTATIONS.contains(name) && !["const", "enum", "type"].contains(name))
        {
            return Err(format!("{} beside listed values", refuse(other)));
        }
        few("enum", values.len())?;
        let types = types(fields)?;
        let is_typed = |value: &&Ordered| types.iter().any(|place| is_of(value, TYPES[*place]));
        let all = values.iter().filter(is_typed).map(|value| self.nodes.text(&json::written(value)));
        let all = all.collect::<Result<_, _>>()?;
        self.nodes.either(all)
    }

    fn alternatives(&mut self, name: &str, value: &Ordered) -> Result<NodeId, String> {
        let Ordered::List(schemas) = value else { return Err(format!("expected a list in `{name}`")) };
        few(name, schemas.len())?;
        if name == "oneOf" {
            // A value of two of them would be of none: only types that exclude each other are safe.
            let mut seen: Vec<usize> = Vec::new();
            for schema in schemas {
                let Ordered::Object(fields) = schema else { return Err(refuse(name)) };
                let own =
                    if field(fields, "type").is_some() { types(fields)? } else { (0..TYPES.len()).collect() };
                let excludes = |a: usize, b: usize| {
                    a != b
                        && !(TYPES[a] == "integer" && TYPES[b] == "number")
                        && !(TYPES[a] == "number" && TYPES[b] == "integer")
                };
                if schemas.len() > 1 && !own.iter().all(|a| seen.iter().all(|b| excludes(*a, *b))) {
                    return Err(format!(
                        "{} whose schemas may have a value in common; `anyOf` can",
                        refuse(name)
                    ));
                }
                seen.extend(own);
            }
        }
        let all = schemas.iter().map(|schema| self.schema(schema)).collect::<Result<_, _>>()?;
        self.nodes.either(all)
    }

    fn reference(&mut self, value: &Ordered) -> Result<NodeId, String> {
        let Ordered::Text(path) = value else { return Err("expected a text in `$ref`".into()) };
        if let Some(known) = self.references.get(path) {
            return Ok(*known);
        }
        let shown: String = path.chars().take(60).collect();
        let Some(pointer) = path.strip_prefix('#') else {
            return Err(format!("`$ref` leads elsewhere: {shown:?}"));
        };
        let mut target = self.root;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match target {
                Ordered::List(list) => part.parse::<usize>().ok().and_then(|i| list.get(i)),
                other => other.get(&part),
            };
            target = next.ok_or_else(|| format!("`$ref` leads to nothing: {shown:?}"))?;
        }
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!("`$ref` leads to nothing: {shown:?}"));
        }
        // It may be met again on the way.
        let place = self.nodes.either(Vec::new())?;
        self.references.insert(path.clone(), place);
        let node = self.schema(target)?;
        self.nodes.set(place, Node::Either(vec![node]));
        Ok(place)
    }
}

/// Refuses what has too many parts.
fn few(name: &str, n: usize) -> Result<(), String> {
    if n <= MAX_BRANCHES {
        Ok(())
    } else {
        Err(format!("{} with more than {MAX_BRANCHES} parts", refuse(name)))
    }
}

fn text(value: &Ordered) -> Option<&str> {
    match value {
        Ordered::Text(text) => Some(text),
        _ => None,
    }
}

/// The types of a schema by their places; all where it names none.
fn types(fields: Fields<'_>) -> Result<Vec<usize>, String> {
    let place = |name: &Ordered| match name {
        Ordered::Text(name) => TYPES.iter().position(|known| known == name).ok_or_else(|| {
            format!("`type` {:?} is none of JSON's", name.chars().take(40).collect::<String>())
        }),
        _ => Err("expected texts in `type`".to_owned()),
    };
    match field(fields, "type") {
        // Every integer is a number.
        None => Ok((0..TYPES.len()).filter(|place| TYPES[*place] != "integer").collect()),
        Some(Ordered::List(names)) => names.iter().map(place).collect(),
        Some(name) => Ok(vec![place(name)?]),
    }
}

fn is_of(value: &Ordered, kind: &str) -> bool {
    match value {
        Ordered::Null => kind == "null",
        Ordered::Bool(_) => kind == "boolean",
        Ordered::Number(number) => {
            kind == "number" || kind == "integer" && number.as_f64().is_some_and(|x| x.fract() == 0.0)
        }
        Ordered::Text(_) => kind == "string",
        Ordered::List(_) => kind == "array",
        Ordered::Object(_) => kind == "object",
    }
}

/// A bound of whole numbers, rounded to the inside.
fn bound(fields: Fields<'_>, name: &str, is_up: bool) -> Result<Option<i64>, String> {
    let Some(value) = field(fields, name) else { return Ok(None) };
    let Ordered::Number(number) = value else { return Err(format!("expected a number in `{name}`")) };
    let x = number.as_f64().unwrap_or(f64::NAN);
    if x.abs() > 1e15 || x.is_nan() {
        return Err(format!("{} beyond 1e15", refuse(name)));
    }
    Ok(Some(number.as_i64().unwrap_or(if is_up { x.ceil() } else { x.floor() } as i64)))
}

/// A bound of numbers, which must be whole.
fn whole_bound(fields: Fields<'_>, name: &str) -> Result<Option<i64>, String> {
    match field(fields, name) {
        Some(Ordered::Number(number)) if number.as_f64().is_some_and(|x| x.fract() != 0.0) => {
            Err(format!("{} where it is no whole number", refuse(name)))
        }
        _ => bound(fields, name, true),
    }
}

fn count(fields: Fields<'_>, name: &str) -> Result<Option<u32>, String> {
    let Some(value) = field(fields, name) else { return Ok(None) };
    let Ordered::Number(number) = value else { return Err(format!("expected a number in `{name}`")) };
    let n = number
        .as_u64()
        .or_else(|| number.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0).map(|x| x as u64));
    match n {
        Some(n) if n <= MAX_COUNT => Ok(Some(n as u32)),
        Some(_) => Err(format!("{} above {MAX_COUNT}", refuse(name))),
        None => Err(format!("expected a whole number up to {MAX_COUNT} in `{name}`")),
    }
}
