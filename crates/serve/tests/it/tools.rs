//! Answers that must be JSON, and calls of tools.

use data::ChatTemplate;
use serde_json::{Value, json};
use serve::Settings;

use crate::scene::{Scene, config};

const PATH: &str = "/v1/chat/completions";

/// Whether a value has a schema.
type Check<'a> = &'a dyn Fn(&Value) -> bool;

/// ChatML whose first turn lists the tools, with calls between tags.
const TEMPLATE: &str = "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool.function.name }}\n{% endfor %}Call as <tool_call>{\"name\": …}</tool_call>.<|im_end|>\n{% endif %}\
    {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn with_tools() -> Scene {
    let template = ChatTemplate::parse(TEMPLATE, "", "<|im_end|>").unwrap();
    Scene::serving(Settings::default(), config(), Some(template))
}

fn ask(more: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "Hi"}], "seed": 4, "max_tokens": 300});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn of_schema(schema: &Value) -> Value {
    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}})
}

/// The value that an answer holds, which must have ended by itself.
#[track_caller]
fn value(scene: &Scene, body: &Value) -> Value {
    let answer = scene.ok(PATH, body);
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop", "{choice}");
    serde_json::from_str(choice["message"]["content"].as_str().unwrap()).unwrap()
}

#[test]
fn an_answer_has_its_schema() {
    let scene = Scene::new();
    let whole = |value: &Value| value.as_i64().is_some_and(|n| (1..=9).contains(&n));
    let cases: [(Value, Check<'_>); 9] = [
        (json!({"type": "boolean"}), &Value::is_boolean),
        (json!({"type": "null"}), &Value::is_null),
        (json!({"const": {"a": [1, null]}}), &|value| *value == json!({"a": [1, null]})),
        (json!({"enum": ["red", "green", 7]}), &|value| {
            [json!("red"), json!("green"), json!(7)].contains(value)
        }),
        (json!({"type": "integer", "minimum": 1, "maximum": 9}), &whole),
        (json!({"type": "string", "maxLength": 4}), &|value| {
            value.as_str().is_some_and(|text| text.chars().count() <= 4)
        }),
        (json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}), &|value| {
            value
                .as_array()
                .is_some_and(|list| (2..=3).contains(&list.len()) && list.iter().all(Value::is_boolean))
        }),
        (
            json!({"type": "object", "properties": {"b": {"$ref": "#/$defs/small"}, "a": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}},
                "required": ["b", "a"], "additionalProperties": false, "$defs": {"small": {"type": "integer", "minimum": 1, "maximum": 9}}}),
            &|value| whole(&value["b"]) && (value["a"].is_null() || value["a"].is_boolean()),
        ),
        (
            json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false}),
            &Value::is_object,
        ),
    ];
    for (schema, is_valid) in cases {
        for seed in 0..4 {
            let mut body = ask(of_schema(&schema));
            body["seed"] = json!(seed);
            let found = value(&scene, &body);
            assert!(is_valid(&found), "{schema}: {found}");
        }
    }
    // The properties come in the order of the schema, streamed or not.
    let body = r#"{"messages": [{"role": "user", "content": "Hi"}], "seed": 4, "stream": false, "response_format": {"type": "json_schema",
        "json_schema": {"schema": {"type": "object", "properties": {"z": {"type": "boolean"}, "a": {"type": "boolean"}}, "required": ["z", "a"]}}}}"#;
    let send = |body: &str| {
        let json = ("Content-Type", "application/json");
        scene.client().send("POST", PATH, &[json], body.as_bytes())
    };
    let whole = send(body).json()["choices"][0]["message"]["content"].clone();
    assert!(whole.as_str().unwrap().starts_with("{\"z\": "), "{whole}");
    let streamed = send(&body.replace("false", "true")).text();
    let chunks =
        streamed.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let parts: Vec<Value> = chunks.map(|chunk| chunk["choices"][0]["delta"]["content"].clone()).collect();
    let text: String = parts.iter().filter_map(Value::as_str).collect();
    assert_eq!(text, whole);
    let answer = scene.ok(PATH, &ask(json!({"response_format": {"type": "json_object"}, "max_tokens": 40})));
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().starts_with('{'));
}

#[test]
fn a_schema_that_cannot_be_followed_is_refused_by_its_keyword() {
    let scene = Scene::new();
    for (schema, named) in [
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"type": "object", "properties": {"a": {"if": {"type": "string"}, "then": {}}}}), "if"),
        (json!({"type": "object", "dependentRequired": {"a": ["b"]}}), "dependentRequired"),
        (json!({"type": "array", "contains": {"type": "null"}}), "contains"),
        (json!({"x-guidance": {"lenient": true}, "uniqueItems": true}), "x-guidance"),
        (json!({"$ref": "https://example.org/schema"}), "example.org"),
        (json!({"$ref": "#/nowhere"}), "nowhere"),
        (json!(7), "object"),
    ] {
        let reply = scene.post(PATH, &ask(of_schema(&schema)));
        let (param, code) = reply.error();
        assert_eq!((reply.status, code), (400, json!("unsupported_schema")), "{schema}: {}", reply.text());
        assert_eq!(param, "response_format.json_schema.schema");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains(named), "{}", reply.text());
    }
    // Schemas that lead in circles, or to nothing, end in an answer or an error, and in time.
    let mut deep = json!({"type": "null"});
    (0..60).for_each(|_| deep = json!({"anyOf": [deep, {"type": "boolean"}]}));
    for schema in [
        json!({"$ref": "#"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"allOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"], "additionalProperties": false}),
        json!({"type": "string", "pattern": "(((a{1,1000}){1,1000}){1,1000})"}),
        json!(false),
        deep,
    ] {
        let reply = scene.post(PATH, &ask(of_schema(&schema)));
        assert!([200, 400].contains(&reply.status), "{schema}: {}", reply.text());
    }
    for (name, format) in [
        ("response_format", json!("json")),
        ("response_format.type", json!({})),
        ("response_format.type", json!({"type": "xml"})),
        ("response_format.json_schema", json!({"type": "json_schema"})),
        ("response_format.json_schema.schema", json!({"type": "json_schema", "json_schema": {"name": "x"}})),
        (
            "response_format.json_schema.scheme",
            json!({"type": "json_schema", "json_schema": {"schema": {}, "scheme": 1}}),
        ),
        ("response_format.schema", json!({"type": "json_object", "schema": {}})),
    ] {
        let reply = scene.post(PATH, &ask(json!({"response_format": format})));
        assert_eq!((reply.status, reply.error().0), (400, json!(name)), "{format}");
    }
}

fn tools() -> Value {
    let city = json!({"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"], "additionalProperties": false});
    let none = json!({"type": "object", "properties": {}, "additionalProperties": false});
    json!([
        {"type": "function", "function": {"name": "weather", "description": "d", "parameters": city}},
        {"type": "function", "function": {"name": "now", "parameters": none}},
    ])
}

#[test]
fn a_tool_that_must_be_called_is_called() {
    let scene = with_tools();
    for (choice, names) in [
        (json!("required"), &["weather", "now"][..]),
        (json!({"type": "function", "function": {"name": "weather"}}), &["weather"]),
    ] {
        for seed in 0..4 {
            let body = ask(json!({"tools": tools(), "tool_choice": choice, "seed": seed}));
            let answer = scene.ok(PATH, &body);
            let choice = &answer["choices"][0];
            assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
            assert_eq!(choice["message"]["content"], Value::Null);
            let calls = choice["message"]["tool_calls"].as_array().unwrap();
            let function = &calls[0]["function"];
            assert!(calls.len() == 1 && names.contains(&function["name"].as_str().unwrap()));
            let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
            let is_city = [json!({"city": "Rome"}), json!({"city": "Oslo"})].contains(&arguments);
            assert!(
                if function["name"] == "weather" { is_city } else { arguments == json!({}) },
                "{arguments}"
            );
            // Streamed it is the same call, by its index.
            let chunks = scene.stream(PATH, &body);
            let deltas: Vec<&Value> = chunks
                .iter()
                .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
                .filter(|call| !call.is_null())
                .collect();
            // The name first, then the arguments in parts.
            assert!(deltas.len() > 2 && deltas.iter().all(|call| call["index"] == 0), "{deltas:?}");
            assert_eq!(
                (&deltas[0]["type"], &deltas[0]["function"]["name"]),
                (&json!("function"), &function["name"])
            );
            assert!(deltas[0]["id"].as_str().is_some_and(|id| id.starts_with("call_")));
            assert!(
                deltas[1..]
                    .iter()
                    .all(|call| call.get("id").is_none() && call["function"].get("name").is_none())
            );
            let parts: String =
                deltas.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
            assert_eq!(parts, function["arguments"].as_str().unwrap());
            assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
        }
    }
}

#[test]
fn what_is_said_of_tools_is_honoured_or_refused() {
    let scene = with_tools();
    let n_prompt = |body: Value| scene.ok(PATH, &body)["usage"]["prompt_tokens"].as_u64().unwrap();
    let plain = n_prompt(ask(json!({"max_tokens": 1})));
    assert!(n_prompt(ask(json!({"tools": tools(), "max_tokens": 1}))) > plain);
    assert_eq!(n_prompt(ask(json!({"tools": tools(), "tool_choice": "none", "max_tokens": 1}))), plain);
    let called = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny<|im_end|>"},
    ]);
    scene.ok(PATH, &json!({"messages": called, "tools": tools(), "max_tokens": 1}));
    let strict = json!([{"type": "function", "function": {"name": "f", "strict": true}}]);
    let odd = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"uniqueItems": true}}}}}]);
    for (name, more) in [
        ("tools[0].type", json!({"tools": [{"type": "web_search"}]})),
        ("tools[0].function", json!({"tools": [{"type": "function"}]})),
        ("tools[0].function.name", json!({"tools": [{"type": "function", "function": {"name": "a b"}}]})),
        (
            "tools[0].function.colour",
            json!({"tools": [{"type": "function", "function": {"name": "f", "colour": 1}}]}),
        ),
        ("tools[0].function.strict", json!({"tools": strict})),
        ("tools", json!({"tools": odd, "tool_choice": "required"})),
        ("tool_choice", json!({"tools": tools(), "tool_choice": "always"})),
        ("tool_choice", json!({"tool_choice": "required"})),
        (
            "tool_choice.function.name",
            json!({"tools": tools(), "tool_choice": {"type": "function", "function": {"name": "g"}}}),
        ),
        ("parallel_tool_calls", json!({"tools": tools(), "parallel_tool_calls": 1})),
        ("response_format", json!({"tools": tools(), "response_format": {"type": "json_object"}})),
        ("messages[0].tool_call_id", json!({"messages": [{"role": "tool", "content": "x"}]})),
        (
            "messages[0].tool_call_id",
            json!({"messages": [{"role": "tool", "tool_call_id": "c1", "content": "x"}]}),
        ),
        (
            "messages[2].tool_call_id",
            json!({"messages": [called[0], called[1], {"role": "tool", "tool_call_id": "c2", "content": "x"}]}),
        ),
        (
            "messages[0].tool_calls[0].function.arguments",
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "x"}}]}]}),
        ),
    ] {
        let reply = scene.post(PATH, &ask(more.clone()));
        assert_eq!((reply.status, reply.error().0), (400, json!(name)), "{more}: {}", reply.text());
    }
    let scene = Scene::new();
    for more in [
        json!({"tools": tools()}),
        json!({"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]}),
    ] {
        let reply = scene.post(PATH, &ask(more));
        assert_eq!((reply.status, reply.error().1), (400, json!("unsupported_value")), "{}", reply.text());
    }
}

#[test]
fn arguments_are_an_object_even_without_a_schema() {
    let scene = with_tools();
    let mut n_called = 0;
    for function in [json!({"name": "f"}), json!({"name": "f", "parameters": {}})] {
        for seed in 0..8 {
            let tools = json!([{"type": "function", "function": function}]);
            let more = json!({"tools": tools, "tool_choice": "required", "seed": seed, "max_tokens": 60});
            let choice = scene.ok(PATH, &ask(more))["choices"][0].clone();
            assert_ne!(choice["finish_reason"], "stop", "{choice}");
            if choice["finish_reason"] == "tool_calls" {
                n_called += 1;
                let arguments = choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
                assert!(serde_json::from_str::<Value>(arguments).unwrap().is_object(), "{arguments}");
            }
        }
    }
    assert!(n_called > 0);
    let text = json!({"name": "f", "parameters": {"type": "string"}});
    let more = json!({"tools": [{"type": "function", "function": text}], "tool_choice": "required"});
    let refused = scene.post(PATH, &ask(more));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("tools[0].function.parameters.type"), "{}", refused.text());
}
