#!/usr/bin/env python3
"""Writes `fixtures/alignment.json`: losses and gradients of SFT, reward model, DPO and PPO, and two whole PPO steps.

What the tests of crate `align` compare with. A tiny Llama of `transformers` in f64 with weights that are f32, one thread, and the
losses written out below in plain PyTorch, from the papers. Regenerate from the repository root with

    pip install -r tools/requirements.txt
    python tools/reference/alignment.py

Every list of parameters is in the order of `names`. Numbers are rounded to 9 digits.

SFT     mean of −ln p over the tokens whose weight is 1
reward  mean of −ln σ(r⁺ − r⁻), r = score head on the hidden vector of the last token of an answer
DPO     mean of −ln σ(β·((ln π⁺ − ln π_ref⁺) − (ln π⁻ − ln π_ref⁻)))
PPO     rewards of tokens −β·(ln π_old − ln π_ref), and at the last of an answer what it was given; GAE; advantages whitened over all
        tokens; the mean over all tokens of −min(ρA, clip(ρ)A) + w·½·max((V − R)², (clip(V, V_old ± c) − R)²), R = A + V_old before
        whitening; tokens drawn at a temperature. Each step: torch.nn.utils.clip_grad_norm_, torch.optim.AdamW.
"""

import json
from pathlib import Path

import torch
from torch.nn.functional import log_softmax, logsigmoid
from transformers import LlamaConfig, LlamaForCausalLM

V, D, SEED = 11, 16, 7
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def model(seed):
    config = LlamaConfig(
        vocab_size=V, hidden_size=D, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=16, rms_norm_eps=1e-6,
        rope_theta=10000.0, tie_word_embeddings=False, attention_bias=False, attn_implementation="eager",
    )
    gpt = LlamaForCausalLM(config).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in gpt.named_parameters():
            noise = torch.randn(weight.shape, generator=generator) * 0.3
            # f32 holds the weights exactly.
            weight.copy_((1 + 0.3 * noise if weight.dim() == 1 else noise).float().double())
    return gpt


def head(seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(1, D, generator=generator) * 0.3).float().double().requires_grad_(True)


def hidden_and_logits(gpt, ids):
    out = gpt(torch.tensor([ids]), output_hidden_states=True)
    return out.hidden_states[-1][0], out.logits[0]


def token_log_probs(gpt, ids, temperature=1.0):
    """ln p of each id but the first."""
    _, logits = hidden_and_logits(gpt, ids)
    return log_softmax(logits[:-1] / temperature, -1)[range(len(ids) - 1), ids[1:]]


def numbers(tensor):
    return [float(f"{x:.9g}") for x in tensor.detach().flatten().tolist()]


def parameters(gpt, extra=None):
    return [p for _, p in gpt.named_parameters()] + ([extra] if extra is not None else [])


def gradients(loss, gpt, extra=None):
    for p in parameters(gpt, extra):
        p.grad = None
    loss.backward()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters(gpt, extra)]
    return {"loss": float(loss), "gradients": [numbers(g) for g in grads]}


def answer_log_prob(gpt, example):
    ids, weights = example
    return (token_log_probs(gpt, ids) * torch.tensor(weights[1:], dtype=torch.float64)).sum()


def main():
    generator = torch.Generator().manual_seed(SEED)

    def ids(n):
        return torch.randint(0, V, (n,), generator=generator).tolist()

    def example(n_context, n_answer):
        return [ids(n_context + n_answer), [0.0] * n_context + [1.0] * n_answer]

    gpt, other = model(1), model(2)
    out = {
        "generator": "tools/reference/alignment.py", "torch": torch.__version__,
        "names": [name for name, _ in gpt.named_parameters()],
        "shapes": [list(p.shape) for p in gpt.parameters()],
        "model": [numbers(p) for p in gpt.parameters()],
        "reference": [numbers(p) for p in other.parameters()],
    }

    # Several turns: what is learned has gaps.
    examples = [example(3, 4), [ids(9), [0, 0, 1, 1, 0, 0, 0, 1, 1.0]], example(2, 5)]
    total = sum(answer_log_prob(gpt, e) for e in examples)
    out["sft"] = {"examples": examples} | gradients(-total / sum(sum(e[1]) for e in examples), gpt)

    pairs = []
    for n_context, better, worse in [(3, 4, 2), (2, 3, 5), (4, 1, 3)]:
        prompt = ids(n_context)
        pairs.append([[prompt + ids(n), [0.0] * n_context + [1.0] * n] for n in (better, worse)])
    score = head(3)
    score_of = lambda text: (hidden_and_logits(gpt, text)[0][-1] @ score[0])
    losses = [-logsigmoid(score_of(b[0]) - score_of(w[0])) for b, w in pairs]
    out["reward"] = {"pairs": pairs, "head": numbers(score)} | gradients(sum(losses) / len(pairs), gpt, score)

    beta = 0.7
    with torch.no_grad():
        known = [[answer_log_prob(other, e) for e in pair] for pair in pairs]
    losses = [
        -logsigmoid(beta * ((answer_log_prob(gpt, b) - rb) - (answer_log_prob(gpt, w) - rw)))
        for (b, w), (rb, rw) in zip(pairs, known)
    ]
    out["dpo"] = {"beta": beta} | gradients(sum(losses) / len(pairs), gpt)

    settings = {
        "beta": 0.3, "gamma": 0.97, "lambda": 0.9, "clip": 0.2, "clip_value": 0.1, "value_weight": 0.4,
        "temperature": 0.8, "cut_penalty": 0.5, "lr": 0.004, "max_grad_norm": 0.5, "adam_eps": 1e-8,
        "beta1": 0.9, "beta2": 0.95,
    }
    s = settings
    value = head(4)

    def rollout(n_context, n_answer, reward, score, has_ended):
        return {"ids": ids(n_context + n_answer), "n_context": n_context, "reward": reward, "score": score,
                "has_ended": has_ended}

    rollouts = [rollout(3, 4, 1.0, 0.5, True), rollout(2, 5, -0.5, 0.25, True), rollout(4, 3, 0.0, -1.0, False),
                rollout(2, 2, 2.0, 0.0, True)]

    def now(r):
        hidden, _ = hidden_and_logits(gpt, r["ids"])
        rows = range(r["n_context"] - 1, len(r["ids"]) - 1)
        return token_log_probs(gpt, r["ids"], s["temperature"])[r["n_context"] - 1:], hidden[rows] @ value[0]

    with torch.no_grad():
        for r in rollouts:
            old, values = now(r)
            reference = token_log_probs(other, r["ids"], s["temperature"])[r["n_context"] - 1:]
            rewards = -s["beta"] * (old - reference)
            rewards[-1] += r["reward"] + r["score"] - (0 if r["has_ended"] else s["cut_penalty"])
            advantages, next_value, after = [], 0.0, 0.0
            for t in reversed(range(len(rewards))):
                after = rewards[t] + s["gamma"] * next_value - values[t] + s["gamma"] * s["lambda"] * after
                next_value = values[t]
                advantages.append(after)
            advantages = torch.stack(advantages[::-1])
            r |= {"old": old, "values": values, "reference": reference, "advantages": advantages,
                  "targets": advantages + values}
        flat = torch.cat([r["advantages"] for r in rollouts])
        mean, std = flat.mean(), flat.std()

    optimizer = torch.optim.AdamW(parameters(gpt, value), lr=s["lr"], betas=(s["beta1"], s["beta2"]),
                                  eps=s["adam_eps"], weight_decay=0.0)
    steps = []
    for _ in range(2):
        losses, n_clipped, ratios = [], 0, []
        for r in rollouts:
            log_probs, values = now(r)
            advantages = (r["advantages"] - mean) / (std + 1e-8)
            ratio = (log_probs - r["old"]).exp()
            free, clipped = ratio * advantages, ratio.clamp(1 - s["clip"], 1 + s["clip"]) * advantages
            bounded = r["values"] + (values - r["values"]).clamp(-s["clip_value"], s["clip_value"])
            of_values = torch.maximum((values - r["targets"]) ** 2, (bounded - r["targets"]) ** 2) / 2
            losses.append(-torch.minimum(free, clipped) + s["value_weight"] * of_values)
            n_clipped += int((clipped < free).sum())
            ratios.append(ratio.detach())
        losses, ratios = torch.cat(losses), torch.cat(ratios)
        step = gradients(losses.mean(), gpt, value)
        norm = torch.nn.utils.clip_grad_norm_(parameters(gpt, value), s["max_grad_norm"])
        optimizer.step()
        steps.append(step | {
            "clipped": n_clipped / len(losses), "ratio": float(ratios.mean()), "norm": float(norm),
            "after": [numbers(p) for p in parameters(gpt, value)],
        })
    for r in rollouts:
        for name in ("old", "values", "reference", "advantages", "targets"):
            r[name] = numbers(r[name])
    out["ppo"] = {"settings": settings, "head": numbers(head(4)), "rollouts": rollouts, "steps": steps,
                  "whitened": numbers((flat - mean) / (std + 1e-8))}
    path = Path("fixtures/alignment.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes, clipped {[s['clipped'] for s in steps]}, norm {[s['norm'] for s in steps]}")


if __name__ == "__main__":
    main()
