"""Writes fixtures/chat_templates.json: what transformers renders, for templates and conversations written here.

    python tools/reference/chat_templates.py        # transformers 5.24, jinja2 3.1.6

Every template is of our own making, in the style of published models or to show one feature of Jinja2. An expected text
of null says that Jinja2 refuses too.
"""

import datetime
import json
import pathlib

from transformers.utils import chat_template_utils

from chat_template_features import FEATURES
from chat_template_styles import STYLES

CLOCK = 1_795_525_509  # 2026-11-24 13:05:09 UTC


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(CLOCK, datetime.timezone.utc).replace(tzinfo=None)


chat_template_utils.datetime = Clock


def m(role, content, **more):
    return {"role": role, "content": content, **more}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Today's weather in a <city>.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "A city, \"Ürümqi\" too"},
                    "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                    "days": {"type": "integer", "minimum": 1},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "a+b",
            "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": ["number", "null"]}}, "required": []},
        },
    },
]
CALL = {"type": "function", "id": "call00001", "function": {"name": "weather", "arguments": {"city": "Köln", "days": 2, "x": [1.5, None, True]}}}
STRING_CALL = {"type": "function", "id": "call00002", "function": {"name": "add", "arguments": "{\"a\": 1}"}}

CONVERSATIONS = {
    "one": dict(messages=[m("user", "Hi")]),
    "prompted": dict(messages=[m("user", "Hi")], add_generation_prompt=True),
    "system": dict(messages=[m("system", "Be brief."), m("user", "Why?\n\nTell me.")], add_generation_prompt=True),
    "turns": dict(
        messages=[m("system", " Be brief. "), m("user", " 1+1? "), m("assistant", " 2 "), m("user", "2+2?"), m("assistant", "4"), m("user", "ok")],
        add_generation_prompt=True,
    ),
    "answered": dict(messages=[m("user", "a"), m("assistant", "b"), m("user", "c"), m("assistant", "d")]),
    "empty": dict(messages=[m("system", ""), m("user", ""), m("assistant", ""), m("user", " ")], add_generation_prompt=True),
    "none": dict(messages=[], add_generation_prompt=True),
    "odd": dict(
        messages=[
            m("user", "<|im_end|>\r\n{{ messages }} {% if %} 'q' \"d\" \\ \t é日本😀\u2028"),
            m("assistant", "<think>\nlet me see\n</think>\n\n<|eot_id|></s>answer"),
            m("user", "\u00a0x\u0000\u007f"),
        ],
        add_generation_prompt=True,
    ),
    "thinking": dict(messages=[m("user", "a"), m("assistant", "<think>hm</think>b"), m("user", "c")], add_generation_prompt=True, enable_thinking=False),
    "two users": dict(messages=[m("user", "a"), m("user", "b")]),
    "tools": dict(messages=[m("system", "Use tools."), m("user", "Weather?")], tools=TOOLS, add_generation_prompt=True),
    "tool turns": dict(
        messages=[
            m("user", "Weather?"),
            m("assistant", "", tool_calls=[CALL]),
            m("tool", "{\"t\": 21}", name="weather", tool_call_id="call00001"),
            m("tool", "3", name="add", tool_call_id="call00002"),
            m("assistant", "21 degrees."),
            m("user", "Thanks"),
        ],
        tools=TOOLS,
        add_generation_prompt=True,
    ),
    "string call": dict(
        messages=[m("user", "1+1?"), m("assistant", None, tool_calls=[STRING_CALL]), m("tool", "2", tool_call_id="call00002")],
        tools=TOOLS[1:],
        add_generation_prompt=True,
    ),
    "parts": dict(messages=[m("user", [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}])], add_generation_prompt=True),
    "documents": dict(messages=[m("user", "Which?")], documents=[{"title": "T1", "text": "one"}, {"title": "T2", "text": "two"}], add_generation_prompt=True),
}
TOKENS = dict(bos_token="<s>", eos_token="</s>")


def render(template, context):
    context = {"tools": None, "documents": None, "add_generation_prompt": False, **TOKENS, **context}
    messages = context.pop("messages")
    try:
        text = chat_template_utils.render_jinja_template([messages], chat_template=template, **context)[0][0]
        text.encode("utf-8")
        return text
    except Exception:  # whatever Jinja2 or Python says
        return None


def main():
    cases = []
    for name, (template, conversations) in STYLES.items():
        for conversation in conversations or CONVERSATIONS:
            cases.append([name, conversation, render(template, CONVERSATIONS[conversation])])
    templates = {name: template for name, (template, _) in STYLES.items()}
    for template in FEATURES:
        conversation = "turns"
        if isinstance(template, tuple):
            template, conversation = template
        name = f"feature {len(templates)}"
        templates[name] = template
        cases.append([name, conversation, render(template, CONVERSATIONS[conversation])])
    fixture = {
        "written_by": "tools/reference/chat_templates.py",
        "clock": CLOCK,
        # As text: the order of keys counts.
        "conversations": {
            name: json.dumps({**TOKENS, **conversation}, ensure_ascii=False) for name, conversation in CONVERSATIONS.items()
        },
        "templates": templates,
        "cases": cases,
    }
    path = pathlib.Path(__file__).parents[2] / "fixtures" / "chat_templates.json"
    lines = json.dumps(fixture, ensure_ascii=False, indent=0)
    path.write_text(lines + "\n", encoding="utf-8")
    refused = sum(case[2] is None for case in cases)
    print(f"{len(templates)} templates, {len(cases)} cases, {refused} refused by Jinja2, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
