//! `/openapi.json` says what the server does.

use serde_json::{Value, json};

use crate::scene::Scene;

#[test]
fn every_path_and_every_field_that_is_described_is_known() {
    let scene = Scene::new();
    let described = scene.get("/openapi.json").json();
    let mut n_fields = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        let path = path.replace("{model}", "tiny");
        for (method, operation) in methods.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(schema) = schema.as_str() else {
                assert_eq!((method.as_str(), scene.get(&path).status), ("get", 200), "{path}");
                continue;
            };
            let schema = &described["components"]["schemas"][schema.rsplit('/').next().unwrap()];
            assert_eq!(schema["additionalProperties"], false, "{path}");
            for name in schema["properties"].as_object().unwrap().keys() {
                n_fields += 1;
                // Nothing takes this value; a field that is known says so by its name.
                let mut body = json!({});
                body[name] = json!({"no such": "value"});
                if name != "messages" && path.contains("chat") {
                    body["messages"] = json!([{"role": "user", "content": "Hi"}]);
                }
                let reply = scene.post(&path, &body);
                let (param, code) = reply.error();
                assert_eq!(reply.status, 400, "{path} {name}");
                assert_ne!(code, "unknown_parameter", "{path} {name}");
                assert!(param.as_str().unwrap().starts_with(name), "{path} {name}: {param}");
            }
            let mut body = json!({"messages": [{"role": "user", "content": "Hi"}]});
            body["no_such"] = json!(1);
            assert_eq!(scene.post(&path, &body).status, 400, "{path}");
        }
    }
    assert!(n_fields > 40, "{n_fields}");
}

#[test]
fn answers_have_the_fields_that_are_described() {
    let scene = Scene::new();
    let described = scene.get("/openapi.json").json();
    let required =
        |name: &str| described["components"]["schemas"][name]["required"].as_array().unwrap().clone();
    let has = |value: &Value, names: &[Value]| {
        names
            .iter()
            .for_each(|name| assert!(value.get(name.as_str().unwrap()).is_some(), "{name} in {value}"));
    };
    has(&scene.complete(&json!({"prompt": "x"})), &required("Completion"));
    let chat = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2});
    has(&scene.ok("/v1/chat/completions", &chat), &required("Chat"));
    has(&scene.get("/v1/models").json()["data"][0], &required("Model"));
    has(&scene.get("/nothing").json(), &required("Error"));
}

#[test]
fn the_page_is_whole_and_brings_all_that_it_needs() {
    let scene = Scene::new();
    let index = scene.get("/");
    assert!(index.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let mut texts = vec![index.text()];
    let mut seen = 0;
    while let Some(text) = texts.pop() {
        assert!(!text.contains("innerHTML") && !text.contains("eval("), "what is shown is text");
        for part in
            text.split(['"', '\'']).filter(|part| part.starts_with("/page/") || part.starts_with("./"))
        {
            let path = part.replace("./", "/page/");
            let reply = scene.get(&path);
            assert_eq!(reply.status, 200, "{path}");
            assert!(!reply.body.is_empty());
            seen += 1;
            if path != "/page/style.css" && seen < 60 {
                texts.push(reply.text());
            }
        }
    }
    assert!(seen > 10, "{seen}");
}
