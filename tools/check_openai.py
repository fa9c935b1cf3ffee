"""Drives a running `maquette serve` with OpenAI's own client, and says what is not as it should be.

    pip install openai
    maquette serve CHECKPOINT --port 8080
    python tools/check_openai.py http://127.0.0.1:8080 [--tools] [--image FILE.png]

--tools: the model's chat template knows tools. --image: it reads pictures. Retries are off: what fails, fails.
"""

import base64
import json
import sys
import threading
import time
import urllib.request

import openai

URL = sys.argv[1]
HAS_TOOLS = "--tools" in sys.argv
IMAGE = sys.argv[sys.argv.index("--image") + 1] if "--image" in sys.argv else None
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=300)
CARD = client.models.list().data[0]
MODEL = CARD.id
HI = [{"role": "user", "content": "Say hello in one short sentence."}]
failures = []


def check(name):
    def run(test):
        try:
            test()
            print(f"ok    {name}")
        except Exception as error:  # noqa: BLE001: every failure is listed
            failures.append(name)
            print(f"FAIL  {name}: {type(error).__name__}: {error}")

    return run


def metric(name):
    text = urllib.request.urlopen(f"{URL}/metrics").read().decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


@check("models")
def _():
    assert client.models.retrieve(MODEL).id == MODEL


@check("chat, whole and streamed, is the same text")
def _():
    asked = dict(model=MODEL, messages=HI, max_tokens=24, seed=1, temperature=0.7)
    whole = client.chat.completions.create(**asked)
    message = whole.choices[0].message
    assert message.role == "assistant" and message.refusal is None and message.content
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    text, roles, last = "", [], None
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        last = chunk
        for choice in chunk.choices:
            text += choice.delta.content or ""
            roles += [choice.delta.role] if choice.delta.role else []
    assert text == message.content, (text, message.content)
    assert roles == ["assistant"] and last.choices == []
    assert last.usage.completion_tokens == whole.usage.completion_tokens


@check("the streaming helper puts an answer together")
def _():
    kinds = set()
    try:
        with client.chat.completions.stream(model=MODEL, messages=HI, max_tokens=40, seed=1) as stream:
            kinds |= {event.type for event in stream}
            assert stream.get_final_completion().choices[0].message.content
    except openai.LengthFinishReasonError:
        pass  # a cut answer is an error of the helper, not of the server
    assert "chunk" in kinds or "content.delta" in kinds, kinds


@check("log-probabilities of a chat")
def _():
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=6, temperature=0, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    for token in content:
        assert len(token.top_logprobs) == 3 and token.logprob == token.top_logprobs[0].logprob
    assert bytes(b for token in content for b in token.bytes).decode() == answer.choices[0].message.content


@check("n, stop, seed, logit_bias")
def _():
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=8, n=3, seed=5)
    texts = [choice.message.content for choice in answer.choices]
    second = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=8, seed=6)
    assert texts[1] == second.choices[0].message.content
    stop = texts[0][len(texts[0]) // 2 :][:2]
    cut = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=8, seed=5, stop=[stop])
    assert cut.choices[0].message.content == texts[0][: texts[0].find(stop)] and cut.choices[0].finish_reason == "stop"
    biased = client.completions.create(model=MODEL, prompt="a", max_tokens=3, logit_bias={"100": 100}, logprobs=0)
    assert len(set(biased.choices[0].logprobs.tokens)) == 1


@check("completions: ids, echo, log-probabilities")
def _():
    answer = client.completions.create(model=MODEL, prompt=[[100, 101, 102], [103, 104]], max_tokens=1, echo=True, logprobs=1)
    for choice, n in zip(answer.choices, (3, 2)):
        lists = choice.logprobs
        assert len(lists.tokens) == len(lists.token_logprobs) == len(lists.top_logprobs) == n + 1
        assert lists.token_logprobs[0] is None
        assert all(max(top.values()) >= own for top, own in zip(lists.top_logprobs[1:], lists.token_logprobs[1:]))
    pieces = [chunk.choices[0].text for chunk in client.completions.create(model=MODEL, prompt="Once", max_tokens=5, stream=True)]
    assert len(pieces) >= 2


@check("response_format: json_object")
def _():
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=200, seed=3, response_format={"type": "json_object"})
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)


@check("response_format: json_schema")
def _():
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    for seed in range(3):
        answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=100, seed=seed, response_format=form)
        assert answer.choices[0].finish_reason == "stop"
        person = json.loads(answer.choices[0].message.content)
        assert set(person) == {"name", "age"} and 0 <= person["age"] <= 120 and len(person["name"]) <= 12


@check("a schema that cannot be followed is refused by its keyword")
def _():
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array", "uniqueItems": True}}}
    try:
        client.chat.completions.create(model=MODEL, messages=HI, response_format=form)
    except openai.BadRequestError as error:
        assert "uniqueItems" in error.message and error.param.startswith("response_format"), error.message
    else:
        raise AssertionError("it was taken")


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"], "additionalProperties": False},
    },
}


@check("tools" if HAS_TOOLS else "tools are refused where the template knows none")
def _():
    asked = dict(model=MODEL, messages=[{"role": "user", "content": "Weather in Rome?"}], tools=[WEATHER], max_tokens=100, seed=1)
    if not HAS_TOOLS:
        try:
            client.chat.completions.create(**asked)
        except openai.BadRequestError as error:
            assert error.param == "tools"
            return
        raise AssertionError("they were taken")
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        answer = client.chat.completions.create(**asked, tool_choice=choice)
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = answer.choices[0].message.tool_calls
        assert call.function.name == "weather" and set(json.loads(call.function.arguments)) == {"city"}
        name, arguments, n_parts = None, "", 0
        for chunk in client.chat.completions.create(**asked, tool_choice=choice, stream=True):
            for delta in chunk.choices[0].delta.tool_calls or []:
                name = delta.function.name or name
                arguments += delta.function.arguments or ""
                n_parts += bool(delta.function.arguments)
        assert (name, arguments) == ("weather", call.function.arguments) and n_parts > 1
    messages = asked["messages"] + [
        answer.choices[0].message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}),
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny"},
    ]
    client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER], max_tokens=8)


@check("frequency and presence penalties")
def _():
    asked = dict(model=MODEL, prompt="One two three", max_tokens=40, temperature=0, logprobs=0)
    plain, penalised = (client.completions.create(**asked, presence_penalty=p, frequency_penalty=p).choices[0].logprobs.tokens for p in (0, 2))
    assert len(set(penalised)) > len(set(plain)), (plain, penalised)


@check("pictures" if IMAGE else "pictures are refused where the model has no eyes")
def _():
    png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
    picture = open(IMAGE, "rb").read() if IMAGE else png
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is there?"}]
    asked = dict(model=MODEL, messages=[{"role": "user", "content": parts}], max_tokens=8, seed=1)
    if IMAGE:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True))
        assert text == client.chat.completions.create(**asked).choices[0].message.content
        return
    try:
        client.chat.completions.create(**asked)
    except openai.BadRequestError as error:
        assert error.param == "messages[0].content[0].type"
        return
    raise AssertionError("it was taken")


@check("errors have their types and their fields")
def _():
    cases = [
        (dict(temperature=7), openai.BadRequestError, "temperature"),
        (dict(n=0), openai.BadRequestError, "n"),
        (dict(presence_penalty=3), openai.BadRequestError, "presence_penalty"),
        (dict(extra_body={"no_such": 1}), openai.BadRequestError, "no_such"),
        (dict(model="other"), openai.NotFoundError, "model"),
        (dict(messages=[]), openai.BadRequestError, "messages"),
    ]
    for fields, kind, param in cases:
        try:
            client.chat.completions.create(**{"model": MODEL, "messages": HI, **fields})
        except kind as error:
            assert error.param == param, (fields, error.param)
            assert error.request_id and error.code and "hint: " in error.message
        else:
            raise AssertionError(f"{fields} was taken")


@check("a stream that is closed frees its place within a second")
def _():
    def one(i):
        stream = client.completions.create(model=MODEL, prompt=f"{i} Once upon a time", max_tokens=400, stream=True)
        next(iter(stream))
        stream.close()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    end = time.monotonic() + 1
    while metric("maquette_sequences"):
        assert time.monotonic() < end, metric("maquette_sequences")
        time.sleep(0.02)


@check("an answer that is asked for by many is the same for all")
def _():
    texts = []
    asked = dict(model=MODEL, messages=HI, max_tokens=20, seed=9)
    threads = [threading.Thread(target=lambda: texts.append(client.chat.completions.create(**asked).choices[0].message.content)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 6 and len(set(texts)) == 1


sys.exit(f"{len(failures)} of the checks failed" if failures else 0)
