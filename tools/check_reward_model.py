"""Scores of a reward model by transformers, beside those of `maquette score`.

    maquette score rm/model --data chats.jsonl > scores.jsonl
    python tools/check_reward_model.py rm/model chats.jsonl scores.jsonl

Rows of chats.jsonl are `{"messages": [...]}`. Each conversation is cut behind the token that ends its last answer, where the score is
read. Needs torch and transformers; the project itself needs neither.
"""

import json
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

TOLERANCE = 1e-4


def main(folder: str, chats: str, scores: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, torch_dtype=torch.float32).eval()
    print(type(model).__name__, "num_labels", model.config.num_labels)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    texts = []
    for line in open(chats, encoding="utf-8"):
        ids = tokenizer.apply_chat_template(json.loads(line)["messages"], return_dict=False)
        last = max(i for i, token in enumerate(ids) if token == end)
        texts.append(ids[: last + 1])
    width = max(map(len, texts))
    padded = torch.tensor([ids + [model.config.pad_token_id] * (width - len(ids)) for ids in texts])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in texts])
    with torch.no_grad():
        theirs = model(padded, attention_mask=mask).logits[:, 0].tolist()
    ours = [json.loads(line)["score"] for line in open(scores, encoding="utf-8")]
    worst = max(abs(a - b) for a, b in zip(theirs, ours, strict=True))
    print(f"{len(ours)} scores, largest difference {worst:.2e}")
    assert worst < TOLERANCE, (theirs, ours)


if __name__ == "__main__":
    main(*sys.argv[1:])
