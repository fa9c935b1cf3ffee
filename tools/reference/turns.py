#!/usr/bin/env python3
"""Writes `fixtures/turns.json`: conversations as token ids, and which of them the assistant says, by transformers.

    pip install -r tools/requirements.txt
    python tools/reference/turns.py

Eight templates of our own making in the styles of published models, each with `{% generation %}` around what the assistant says and
the token that ends its turn; a tokenizer of bytes with the special tokens of all; conversations with system messages, several
turns, scripts of more than one byte, white space at both ends and characters of the templates themselves. A case of null says that the
template refuses the conversation.
"""

import json
import tempfile
from pathlib import Path

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIAL = [
    "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
    "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>",
]
FOR = "{% for m in messages %}"
TEMPLATES = {
    "chatml": FOR + "{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama 2": FOR + "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% elif m.role == 'user' %}"
    "{{ '<s>[INST] ' + m.content | trim + ' [/INST]' }}{% else %}{% generation %}{{ ' ' + m.content | trim + ' </s>' }}{% endgeneration %}"
    "{% endif %}{% endfor %}",
    "llama 3": "{{ '<|begin_of_text|>' }}" + FOR + "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content | trim + '<|eot_id|>' }}{% endgeneration %}{% else %}"
    "{{ m.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "gemma": FOR + "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content | trim + '<end_of_turn>' }}{% endgeneration %}{% else %}{{ m.content | trim + '<end_of_turn>' }}{% endif %}{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    "mistral": "{{ '<s>' }}" + FOR + "{% if m.role == 'assistant' %}{% generation %}{{ ' ' + m.content + '</s>' }}{% endgeneration %}"
    "{% else %}{{ '[INST] ' + m.content + '[/INST]' }}{% endif %}{% endfor %}",
    "phi 3": FOR + "{% if m.role == 'assistant' %}{{ '<|assistant|>\n' }}{% generation %}{{ m.content + '<|end|>' }}{% endgeneration %}"
    "{{ '\n' }}{% else %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    "zephyr": FOR + "{% if m.role == 'assistant' %}{{ '<|assistant|>\n' }}{% generation %}{{ m.content + eos_token }}{% endgeneration %}"
    "{% else %}{{ '<|' + m.role + '|>\n' + m.content + eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    "command r": "{{ bos_token }}" + FOR + "{{ '<|START_OF_TURN_TOKEN|>' + {'user': '<|USER_TOKEN|>', 'system': '<|SYSTEM_TOKEN|>', "
    "'assistant': '<|CHATBOT_TOKEN|>'}[m.role] }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|END_OF_TURN_TOKEN|>' }}"
    "{% endgeneration %}{% else %}{{ m.content + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}",
}


def chat(*turns):
    return [{"role": role, "content": content} for role, content in turns]


CONVERSATIONS = {
    "one answer": chat(("user", "Hi"), ("assistant", "Hello.")),
    "system": chat(("system", "Be brief."), ("user", "Why?\n\nTell me."), ("assistant", "Because.")),
    "three answers": chat(("user", "1+1?"), ("assistant", "2"), ("user", "2+2?"), ("assistant", "4"), ("user", "ok"), ("assistant", "\n:)\n")),
    "scripts": chat(("user", "Grüße, 日本 🎈"), ("assistant", "žluťoučký kůň\tпривет"), ("user", "é"), ("assistant", "é🎈")),
    "spaces": chat(("system", " s "), ("user", "  a  "), ("assistant", "  b  "), ("user", " "), ("assistant", "c ")),
    "marks": chat(("user", "{{ x }} {% y %} <b> | trim"), ("assistant", "'\\n' + [x]  <i>")),
    "question last": chat(("user", "a"), ("assistant", "b"), ("user", "c")),
    "long": chat(("user", "word " * 40), ("assistant", "answer " * 30)),
}


def main():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    base = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    base.decoder = decoders.ByteLevel()
    base.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    with tempfile.TemporaryDirectory() as folder:
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=base, bos_token="<s>", eos_token="</s>")
        fast.save_pretrained(folder)
        files = {name: Path(folder, name).read_text() for name in ("tokenizer.json", "tokenizer_config.json")}
    cases = []
    for template, source in TEMPLATES.items():
        for conversation, messages in CONVERSATIONS.items():
            try:
                done = fast.apply_chat_template(
                    messages, chat_template=source, tokenize=True, return_dict=True, return_assistant_tokens_mask=True,
                )
                ids, mask = list(done["input_ids"]), list(done["assistant_masks"])
                assert len(ids) == len(mask) and (sum(mask) > 0)
                cases.append([template, conversation, ids, mask])
            except Exception as error:
                assert "no system" in str(error), (template, conversation, error)
                cases.append([template, conversation, None, None])
    out = {
        "written_by": "tools/reference/turns.py", "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
        "files": files, "templates": TEMPLATES, "conversations": CONVERSATIONS, "cases": cases,
    }
    path = Path("fixtures/turns.json")
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes, {len(cases)} cases")


if __name__ == "__main__":
    main()
