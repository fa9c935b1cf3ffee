"""Asks a running `maquette serve` for answers of 200 JSON schemas, and checks every finished one with `jsonschema`.

    pip install "jsonschema[format]"
    maquette serve CHECKPOINT --port 8080
    python tools/check_schemas.py http://127.0.0.1:8080 [--n 200] [--seed 0] [--clients 8] [--max-tokens 400]

First come the real schemas in `schemas.json`, then random ones of every keyword that is followed. At the end each keyword that is
not followed must be refused with status 400 by its name. Prints one JSON line with the counts; fails if anything is wrong.
"""

import argparse
import concurrent.futures
import json
import pathlib
import random
import sys
import urllib.error
import urllib.request

import jsonschema

options = argparse.ArgumentParser()
options.add_argument("url")
options.add_argument("--n", type=int, default=200)
options.add_argument("--seed", type=int, default=0)
options.add_argument("--clients", type=int, default=8)
options.add_argument("--max-tokens", type=int, default=400)
options = options.parse_args()

WORDS = ["name", "age", "city", "tags", "items", "price", "unit", "état", "a b", 'say "hi"', "x/y", "日本", "id", "next", "kind"]


class Writer:
    """Random schemas; a depth bounds how large their values become."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def bounds(self, low, high):
        a, b = sorted(self.rng.randint(low, high) for _ in range(2))
        return a, b

    def annotated(self, schema):
        if self.rng.random() < 0.2:
            schema.update(self.rng.choice([{"title": "T"}, {"description": "d"}, {"default": None}, {"examples": [1]}, {"deprecated": False}]))
        return schema

    def integer(self):
        low, high = self.bounds(-300, 3000)
        schema = {"type": "integer"}
        if self.rng.random() < 0.7:
            schema[self.rng.choice(["minimum", "exclusiveMinimum"])] = low
            schema[self.rng.choice(["maximum", "exclusiveMaximum"])] = high + 2
        return schema

    def number(self):
        low, high = self.bounds(-50, 50)
        return self.rng.choice([{"type": "number", "minimum": low, "maximum": high}, {"type": "number", "minimum": low}, {"type": "number", "maximum": high}])

    def string(self):
        low, high = self.bounds(0, 12)
        return self.rng.choice(
            [{"type": "string", "minLength": low, "maxLength": high}, {"type": "string", "maxLength": high}]
            + [{"type": "string", "format": name} for name in ("date", "time", "date-time", "uuid")]
        )

    def listed(self):
        values = [None, True, 7, -2.5, "x", 'q"q', "é\n", [1, {"a": None}], {"b": [], "a": "z"}, ""]
        picked = self.rng.sample(values, self.rng.randint(1, 5))
        return self.rng.choice([{"enum": picked}, {"const": picked[0]}])

    def leaf(self):
        return self.annotated(
            self.rng.choice([self.integer, self.number, self.string, self.string, self.listed, lambda: {"type": "boolean"}, lambda: {"type": "null"}])()
        )

    def array(self, depth):
        low, high = self.bounds(0, 3)
        schema = {"type": "array", "items": self.schema(depth - 1), "maxItems": high}
        if self.rng.random() < 0.6:
            schema["minItems"] = low
        return schema

    def object(self, depth):
        names = self.rng.sample(WORDS, self.rng.randint(1, 4))
        schema = {"type": "object", "properties": {name: self.schema(depth - 1) for name in names}}
        schema["required"] = self.rng.sample(names, self.rng.randint(0, len(names)))
        if self.rng.random() < 0.5:
            schema["additionalProperties"] = False
        return schema

    def several(self, depth):
        kinds = self.rng.sample(["integer", "string", "boolean", "null", "array", "object"], 3)
        made = {
            "integer": self.integer, "string": self.string, "boolean": lambda: {"type": "boolean"}, "null": lambda: {"type": "null"},
            "array": lambda: self.array(depth), "object": lambda: self.object(depth),
        }
        one = {"oneOf": [made[kind]() for kind in kinds]}
        any_ = {"anyOf": [self.schema(depth - 1) for _ in range(2)]}
        types = {"type": self.rng.sample(["integer", "boolean", "null"], 2)}
        return self.rng.choice([one, any_, types, {"allOf": [self.schema(depth - 1)]}])

    def schema(self, depth):
        if depth <= 0 or self.rng.random() < 0.25:
            return self.leaf()
        return self.annotated(self.rng.choice([self.object, self.object, self.array, self.several])(depth))

    def whole(self):
        kind = self.rng.randrange(8)
        if kind == 0:  # a list that is linked, through a reference in a circle
            node = {"type": "object", "properties": {"v": self.leaf(), "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                    "required": ["v", "next"], "additionalProperties": False}
            return {"$defs": {"node": node}, "$ref": "#/$defs/node"}
        if kind == 1:
            return {"definitions": {"a~b/c": self.leaf()}, "type": "object",
                    "properties": {"one": {"$ref": "#/definitions/a~0b~1c"}, "two": {"$ref": "#/definitions/a~0b~1c"}}, "required": ["one"]}
        if kind == 2:
            return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:x", "$comment": "c", **self.object(2)}
        if kind == 3:
            return {"type": "object", "required": ["left"], "properties": {"left": self.leaf()}, "additionalProperties": self.leaf()}
        return self.schema(3)


REFUSED = {
    "pattern": {"type": "string", "pattern": "^a+$"},
    "patternProperties": {"type": "object", "patternProperties": {"^a": {}}},
    "propertyNames": {"type": "object", "propertyNames": {"maxLength": 3}},
    "minProperties": {"type": "object", "minProperties": 1},
    "maxProperties": {"type": "object", "maxProperties": 1},
    "dependentRequired": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "dependentSchemas": {"type": "object", "dependentSchemas": {"a": {}}},
    "unevaluatedProperties": {"type": "object", "unevaluatedProperties": False},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "contains": {"type": "array", "contains": {"type": "null"}},
    "minContains": {"type": "array", "minContains": 1},
    "prefixItems": {"type": "array", "prefixItems": [{"type": "null"}]},
    "unevaluatedItems": {"type": "array", "unevaluatedItems": False},
    "multipleOf": {"type": "integer", "multipleOf": 3},
    "exclusiveMinimum": {"type": "number", "exclusiveMinimum": 0},
    "exclusiveMaximum": {"type": "number", "exclusiveMaximum": 0},
    "minimum": {"type": "number", "minimum": 0.5},
    "maxLength": {"type": "string", "maxLength": 10**9},
    "format": {"type": "string", "format": "email"},
    "contentEncoding": {"type": "string", "contentEncoding": "base64"},
    "contentMediaType": {"type": "string", "contentMediaType": "text/html"},
    "not": {"not": {"type": "null"}},
    "if": {"if": {"type": "null"}, "then": {"const": None}},
    "allOf": {"allOf": [{"type": "string"}, {"maxLength": 3}]},
    "oneOf": {"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]},
    "$dynamicRef": {"$dynamicRef": "#x"},
    "$anchor": {"$anchor": "x", "type": "string"},
    "nullable": {"type": "string", "nullable": True},
    "discriminator": {"anyOf": [{"type": "null"}], "discriminator": {"propertyName": "x"}},
    "x-order": {"type": "object", "x-order": []},
}


def ask(schema, seed):
    body = {
        "messages": [{"role": "user", "content": "Answer with JSON of this schema: " + json.dumps(schema)[:600]}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
        "seed": seed, "max_tokens": options.max_tokens,
    }
    request = urllib.request.Request(options.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check(case):
    number, schema = case
    status, answer = ask(schema, number)
    if status != 200:
        return "refused", f"schema {number}: status {status}: {answer['error']['message']} {json.dumps(schema)}"
    choice = answer["choices"][0]
    if choice["finish_reason"] != "stop":
        return "cut", None
    text = choice["message"]["content"]
    try:
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(schema, format_checker=checker).validate(json.loads(text))
    except (json.JSONDecodeError, jsonschema.ValidationError) as error:
        return "wrong", f"schema {number}: {error} in {text!r} of {json.dumps(schema)}"
    return "valid", None


real = json.loads(pathlib.Path(__file__).with_name("schemas.json").read_text())
schemas = [entry["schema"] for entry in real][: options.n]
schemas += [Writer(options.seed * 1_000_003 + i).whole() for i in range(options.n - len(schemas))]
keywords = set()


def collect(value):
    if isinstance(value, dict):
        keywords.update(value)
        value = value.values()
    if isinstance(value, (list, type({}.values()))):
        for inner in value:
            collect(inner)


collect(schemas)
counts, failures = {"schemas": len(schemas), "real": min(len(real), options.n), "valid": 0, "cut": 0, "wrong": 0, "refused": 0}, []
with concurrent.futures.ThreadPoolExecutor(options.clients) as pool:
    for kind, message in pool.map(check, enumerate(schemas)):
        counts[kind] += 1
        failures += [message] if message else []
counts["keywords_refused"] = 0
for keyword, schema in REFUSED.items():
    status, answer = ask(schema, 0)
    error = answer.get("error", {})
    if status == 400 and error["code"] == "unsupported_schema" and f"`{keyword}`" in error["message"]:
        counts["keywords_refused"] += 1
    else:
        failures.append(f"`{keyword}`: status {status}: {error.get('message')}")
print("\n".join(failures), file=sys.stderr)
print(json.dumps(counts))
sys.exit(bool(failures) or counts["valid"] < 0.8 * counts["schemas"])
