//! Schemas and the values that their grammars let through.

use super::*;

fn grammar(schema: &str) -> Result<Grammar, String> {
    Grammars::default().schema(&Tokenizer::bytes(), &serde_json::from_str(schema).unwrap())
}

/// Whether a text is let through, byte by byte, and may end there.
fn takes(grammar: &Grammar, text: &str) -> bool {
    let mut machine = grammar.machine.lock().unwrap();
    let mut state = grammar.state;
    for byte in text.bytes() {
        match machine.next(state, byte).unwrap() {
            Some(next) => state = next,
            None => return false,
        }
    }
    machine.is_complete(state)
}

#[track_caller]
fn check(schema: &str, good: &[&str], bad: &[&str]) {
    let grammar = grammar(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    good.iter().for_each(|text| assert!(takes(&grammar, text), "{schema} refuses {text}"));
    bad.iter().for_each(|text| assert!(!takes(&grammar, text), "{schema} takes {text}"));
}

#[test]
fn values_of_each_type() {
    check(r#"{"type": "null"}"#, &["null"], &["nul", "nulll", "true", ""]);
    check(r#"{"type": "boolean"}"#, &["true", "false"], &["1", "truefalse"]);
    check(r#"{"type": "integer"}"#, &["0", "-7", "120"], &["01", "-", "1.0", "+1", "1e3", ""]);
    check(r#"{"type": "number"}"#, &["0", "-0.5", "12.25e-3", "1E5"], &[".5", "1.", "1e", "--1"]);
    check(
        r#"{"type": "string"}"#,
        &[r#""""#, r#""a\n\"é😀""#, r#""\\""#],
        &[r#"""#, "\"a\nb\"", r#""\x""#, r#""\u12""#, "\"\u{0}\"", r#""a"b"#],
    );
    check(r#"{"type": ["integer", "null"]}"#, &["5", "null"], &["true"]);
    check(
        r#"{"type": "array", "items": {"type": "integer"}}"#,
        &["[]", "[1]", "[1, 22]"],
        &["[1,2]", "[1 ]", "[,]", "[1, ]"],
    );
    check(r#"{"type": "object"}"#, &["{}", r#"{"a": [1, {"b": null}]}"#], &["[]", r#"{"a"}"#, r#"{"a": 1"#]);
    check("{}", &["1", "[[], {}]", "\"x\""], &["", "x"]);
    check(
        r#"{"type": "object", "additionalProperties": {"type": "null"}}"#,
        &["{}", r#"{"a": null, "b": null}"#],
        &[r#"{"a": 1}"#],
    );
    check(r#"{"type": "object", "additionalProperties": false}"#, &["{}"], &[r#"{"a": 1}"#]);
}

#[test]
fn lengths_and_listed_values() {
    check(
        r#"{"type": "string", "minLength": 1, "maxLength": 2}"#,
        &[r#""é""#, r#""ab""#, r#""\n😀""#],
        &[r#""""#, r#""abc""#],
    );
    check(
        r#"{"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 3}"#,
        &["[null, null]", "[null, null, null]"],
        &["[]", "[null]", "[null, null, null, null]"],
    );
    check(
        r#"{"enum": ["a", 1, null, {"k": [1, 2]}]}"#,
        &["\"a\"", "1", "null", r#"{"k": [1, 2]}"#],
        &["2", "\"b\""],
    );
    check(r#"{"type": "string", "enum": ["a", 1]}"#, &["\"a\""], &["1"]);
    check(r#"{"const": "é\n"}"#, &["\"é\\n\""], &["\"é\""]);
    check(r#"{"anyOf": [{"type": "null"}, {"type": "array", "maxItems": 0}]}"#, &["null", "[]"], &["[null]"]);
    check(
        r#"{"type": "string", "format": "date"}"#,
        &["\"2024-02-28\""],
        &["\"2024-13-01\"", "\"2024-1-1\"", "\"x\""],
    );
}

#[test]
fn numbers_stay_within_their_bounds() {
    for (least, most) in
        [(0, 9), (7, 7), (-5, 120), (-130, -7), (1, 1000), (98, 1203), (0, 0), (-1, 1), (-10, 0)]
    {
        let schema = format!(r#"{{"type": "integer", "minimum": {least}, "maximum": {most}}}"#);
        let number = schema.replace("integer", "number");
        let (whole, any) = (grammar(&schema).unwrap(), grammar(&number).unwrap());
        for n in -1400..1400 {
            let is_in = (least..=most).contains(&n);
            assert_eq!(takes(&whole, &n.to_string()), is_in, "{schema}: {n}");
            assert_eq!(takes(&any, &n.to_string()), is_in, "{number}: {n}");
            let half = f64::from(n) + 0.5;
            let is_in = f64::from(least) < half && half < f64::from(most);
            assert_eq!(takes(&any, &format!("{half}")), is_in, "{number}: {half}");
        }
    }
    check(r#"{"type": "integer", "minimum": 3}"#, &["3", "99999"], &["2", "-4"]);
    check(r#"{"type": "integer", "exclusiveMaximum": 0}"#, &["-1", "-99999"], &["0", "1"]);
    check(r#"{"type": "number", "minimum": 0}"#, &["0", "0.25", "7.5"], &["-0.25", "-1"]);
    check(r#"{"type": "integer", "minimum": 0.5, "maximum": 1.5}"#, &["1"], &["0", "2"]);
}

#[test]
fn fields_come_in_the_order_of_the_schema() {
    let schema = r#"{"type": "object", "properties": {"z": {"type": "null"}, "a": {"type": "boolean"}, "m": {"type": "integer"}}, "required": ["a"]}"#;
    check(
        schema,
        &[
            r#"{"a": true}"#,
            r#"{"z": null, "a": true}"#,
            r#"{"a": false, "m": 1}"#,
            r#"{"z": null, "a": true, "m": 0}"#,
        ],
        &[
            "{}",
            r#"{"z": null}"#,
            r#"{"a": true, "z": null}"#,
            r#"{"a": true, }"#,
            r#"{, "a": true}"#,
            r#"{"a": true, "x": 1}"#,
        ],
    );
    check(r#"{"type": "object", "required": ["x"]}"#, &[r#"{"x": [1]}"#], &["{}", r#"{"y": 1}"#]);
    check(
        r#"{"type": "object", "properties": {"a\"b": {"type": "null"}}}"#,
        &["{}", r#"{"a\"b": null}"#],
        &[],
    );
}

#[test]
fn references_may_lead_in_circles_as_long_as_they_end() {
    let list = r##"{"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}"##;
    check(list, &[r#"{"next": null}"#, r#"{"next": {"next": {"next": null}}}"#], &["{}", r#"{"next": 1}"#]);
    let tree = r##"{"$ref": "#/$defs/t~1x", "$defs": {"t/x": {"type": "array", "items": {"$ref": "#/$defs/t~1x"}}}}"##;
    check(tree, &["[]", "[[], [[]]]"], &["[1]"]);
    for endless in [
        r##"{"$ref": "#"}"##,
        r##"{"anyOf": [{"$ref": "#"}]}"##,
        r##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
        r##"{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}"##,
        r#"{"type": "array", "items": false, "minItems": 1}"#,
        r#"{"type": "array", "minItems": 2, "maxItems": 1}"#,
        r#"{"type": "integer", "minimum": 2, "maximum": 1}"#,
        r#"{"type": "string", "minLength": 2, "maxLength": 1}"#,
        r#"{"enum": []}"#,
        "false",
    ] {
        assert_eq!(grammar(endless).unwrap_err(), "no value can have this schema", "{endless}");
    }
    // A field that nothing can have is left out.
    check(
        r#"{"type": "object", "properties": {"a": false, "b": {"type": "null"}}}"#,
        &["{}", r#"{"b": null}"#],
        &[r#"{"a": 1}"#],
    );
}

#[test]
fn what_cannot_be_followed_is_named() {
    for (schema, named) in [
        (r#"{"type": "array", "uniqueItems": true}"#, "`uniqueItems`"),
        (r#"{"type": "string", "pattern": "a"}"#, "`pattern`"),
        (r#"{"type": "string", "format": "email"}"#, "`format`"),
        (r#"{"type": "object", "properties": {"a": {"if": {}, "then": {}}}}"#, "`if`"),
        (r#"{"type": "object", "patternProperties": {}}"#, "`patternProperties`"),
        (r#"{"type": "object", "minProperties": 1}"#, "`minProperties`"),
        (r#"{"type": "array", "contains": {}}"#, "`contains`"),
        (r#"{"type": "array", "prefixItems": []}"#, "`prefixItems`"),
        (r#"{"type": "integer", "multipleOf": 5}"#, "`multipleOf`"),
        (r#"{"type": "number", "minimum": 0.5}"#, "`minimum`"),
        (r#"{"type": "number", "exclusiveMinimum": 0}"#, "`exclusiveMinimum`"),
        (r#"{"allOf": [{}, {}]}"#, "`allOf`"),
        (r#"{"not": {}}"#, "`not`"),
        (r#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#, "`oneOf`"),
        (r#"{"anyOf": [{}], "properties": {}}"#, "`properties`"),
        (r#"{"enum": ["a"], "minLength": 1}"#, "`minLength`"),
        (r#"{"type": "string", "minimum": 1}"#, "`minimum`"),
        (r#"{"no_such": 1}"#, "`no_such`"),
        (r#"{"$ref": "https://example.org/x"}"#, "example.org"),
        (r##"{"$ref": "#/nowhere"}"##, "nowhere"),
        (r#"{"type": "text"}"#, "text"),
        (r#"{"minItems": -1, "type": "array"}"#, "`minItems`"),
        ("7", "object"),
    ] {
        let error = grammar(schema).unwrap_err();
        assert!(error.contains(named), "{schema}: {error}");
    }
    check(r#"{"oneOf": [{"type": "integer"}, {"type": "null"}], "title": "t"}"#, &["1", "null"], &["\"\""]);
    check(r#"{"allOf": [{"type": "null"}], "description": "d", "default": 1}"#, &["null"], &["1"]);
}

#[test]
fn tokens_are_those_whose_bytes_may_come() {
    let mut grammar = grammar(r#"{"type": "array", "items": {"enum": [12, 345]}, "minItems": 1}"#).unwrap();
    let tokenizer = Tokenizer::bytes();
    let ids = |text: &str| -> Vec<u32> { tokenizer.encode(text) };
    let allowed = |grammar: &Grammar| -> Vec<u32> {
        let set = grammar.allowed().unwrap();
        (0..tokenizer.vocab_size() as u32).filter(|id| set.contains(*id)).collect()
    };
    assert_eq!(allowed(&grammar), ids("["));
    let mut has_ended = false;
    for (text, next) in
        [("[", "13"), ("3", "4"), ("4", "5"), ("5", ",]"), (",", " "), (" ", "13"), ("1", "2"), ("2", ",]")]
    {
        assert!(!grammar.push(ids(text)[0]).unwrap());
        assert_eq!(allowed(&grammar), ids(next), "behind {text}");
    }
    has_ended |= grammar.push(ids("]")[0]).unwrap();
    assert!(has_ended);
    let mut stops = tokenizer.stops();
    stops.sort_unstable();
    assert_eq!(allowed(&grammar), stops);
    assert!(grammar.push(ids("x")[0]).is_err());
}

#[test]
fn long_and_deep_schemas_end_in_an_answer_or_an_error() {
    // More optional fields than a stack is deep.
    let fields: Vec<String> = (0..20_000).map(|i| format!("\"f{i}\": {{\"type\": \"null\"}}")).collect();
    let wide = |n: usize| format!("{{\"type\": \"object\", \"properties\": {{{}}}}}", fields[..n].join(", "));
    check(&wide(4000), &["{}", r#"{"f7": null, "f3999": null}"#], &[r#"{"f7": null, "f3": null}"#]);
    assert!(grammar(&wide(20_000)).unwrap_err().contains("`properties`"));
    // References one behind another, and alternatives within alternatives.
    let chain: Vec<String> =
        (0..50_000).map(|i| format!("\"d{i}\": {{\"$ref\": \"#/$defs/d{}\"}}", i + 1)).collect();
    let chain = format!("{{\"$ref\": \"#/$defs/d0\", \"$defs\": {{{}}}}}", chain.join(", "));
    assert!(grammar(&chain).unwrap_err().contains("too deep"));
    let listed: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
    assert!(grammar(&format!("{{\"enum\": [{}]}}", listed.join(", "))).is_err());
    let named: Vec<String> = (0..100_000).map(|i| format!("\"n{i}\"")).collect();
    assert!(grammar(&format!("{{\"type\": \"object\", \"required\": [{}]}}", named.join(", "))).is_err());
    assert!(grammar(r#"{"type": "string", "maxLength": 1000000}"#).unwrap_err().contains("`maxLength`"));
}
