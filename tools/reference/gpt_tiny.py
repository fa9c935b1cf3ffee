#!/usr/bin/env python3
"""Writes `fixtures/gpt_tiny.safetensors` and `fixtures/gpt_tiny_untied.safetensors`.

Each file holds one tiny model, one batch of packed documents with its logits, loss and gradients, and ten
optimizer steps of AdamW and of Muon: what the parity tests of the Rust code compare with. Everything is
f32 on the CPU, one thread, seed 1234. Regenerate from the repository root with

    pip install -r tools/requirements.txt
    python tools/reference/gpt_tiny.py

The model is written out below in plain PyTorch and then held against `transformers`: every document alone
through `Qwen3ForCausalLM` (tied head, QK-norm) or `LlamaForCausalLM` (untied, none) must give the same
logits, loss and gradients as its place in the packed batch. The run fails where they differ.

Shapes: B rows of T tokens, R = B·T, V vocabulary; R rows are row-major over `[B, T]`.

Tensors
    param.NAME          parameters before the first step; NAME is the Hugging Face name, `[out, in]` matrices
    ids, targets        [B, T] i32; the target of a position is the next id, also over a document's end
    segments            [n, 2] i32: start and length of each document over the R flattened rows
    logits              [R, V]
    loss                [1]: mean over all R targets, in nats
    grad.NAME           gradient of `loss`; a tied embedding has one gradient that holds both contributions
    step.ids            [10, B, T] i32, one batch a step; `segments` holds for each of them
    step.targets        [10, B, T] i32
    OPT.loss            [10]: loss before each step; OPT is `adamw` or `muon`
    OPT.grad_norm       [10]: global gradient norm before clipping
    OPT.param.NAME      parameters after ten steps, starting from `param.NAME`

Metadata (strings): `format`, `format_version`, `generator`, `config` (JSON), `optimizer` (JSON), `seed`,
`torch_version`, and `f32_error` (JSON): the largest |f32 − f64| of the same computation, that is, how far
rounding alone moves each result, from which a test can take its tolerance.

One step, in this order
    g       gradients of the mean loss
    norm    = √(Σ g²) over all parameters
    g       *= min(1, max_grad_norm / (norm + 1e-6))                       as torch clip_grad_norm_

AdamW (torch.optim.AdamW), step t = 1, 2, ..; weight_decay is 0 for 1-D parameters (the norm gains)
    p       *= 1 − lr·weight_decay
    m       += (g − m)·(1 − beta1)
    v       = beta2·v + (1 − beta2)·g²
    p       −= lr / (1 − beta1^t) · m / (√v / √(1 − beta2^t) + eps)

Muon (torch.optim.Muon 2.15) for the seven matrices of each layer `[rows, cols]`; the embedding, the head and
the gains take the AdamW above
    m       += (g − m)·(1 − momentum)                                      m starts at 0
    u       = g + (m − g)·momentum                                         Nesterov, with the new m
    X       = u, transposed where rows > cols
    X       /= max(‖X‖, eps)                                               Frobenius norm; a clamp, not a sum
    ns_steps times:  A = X·Xᵀ;  X = a·X + (b·A + c·A·A)·X                  (a, b, c) = ns_coefficients
    X       transposed back where rows > cols
    p       *= 1 − lr·weight_decay                                         the plain lr
    p       −= lr·√max(1, rows/cols) · X
Differs: torch.optim.Muon rounds X to bfloat16 for the iteration; here it stays f32.
"""

import json
import math
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from safetensors import safe_open

GENERATOR = "tools/reference/gpt_tiny.py"
FORMAT_VERSION = "1"
SEED = 1234
N_STEPS = 10

# No two extents of a fixture agree where they could be confused, and few are friendly to a tile.
# `init` is such that about half of the steps are clipped, none by a hair, and f32 stays close to f64: AdamW
# moves an entry whose gradient is near zero by its sign, so some initialisations magnify rounding a hundredfold.
FIXTURES = {
    "gpt_tiny": {
        "config": {
            "vocab_size": 67,
            "max_seq_len": 32,
            "n_layers": 2,
            "d_model": 23,
            "n_heads": 8,
            "n_kv_heads": 4,
            "d_head": 6,
            "d_ff": 37,
            "rope_theta": 10000.0,
            "norm_eps": 1e-6,
            "qk_norm": True,
            "tie_embeddings": True,
        },
        "init": {"embed_std": 0.5, "final_gain": 0.06},
        "documents": [[7, 12], [19], [1, 13, 5]],  # lengths, row by row
    },
    "gpt_tiny_untied": {
        "config": {
            "vocab_size": 53,
            "max_seq_len": 24,
            "n_layers": 3,
            "d_model": 20,
            "n_heads": 5,
            "n_kv_heads": 1,
            "d_head": 4,
            "d_ff": 34,
            "rope_theta": 10000.0,
            "norm_eps": 1e-6,
            "qk_norm": False,
            "tie_embeddings": False,
        },
        "init": {"embed_std": 1.4, "final_gain": 0.3, "head_std": 0.2},
        "documents": [[17], [4, 2, 11]],
    },
}

OPTIMIZER = {
    "max_grad_norm": 0.5,
    "adamw": {"lr": 1e-2, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1},
    "muon": {
        "lr": 2e-2,
        "momentum": 0.95,
        "nesterov": True,
        "ns_steps": 5,
        "ns_coefficients": [3.4445, -4.7750, 2.0315],
        "eps": 1e-7,
        "adjust_lr": "original",
        "weight_decay": 0.1,
    },
}


# The model


def init_params(config, init, rng):
    """Parameters by Hugging Face name. Gains are scattered, so that leaving one out shows."""
    c, d, f, v = config["d_model"], config["d_head"], config["d_ff"], config["vocab_size"]
    h, k = config["n_heads"], config["n_kv_heads"]

    def matrix(rows, cols):
        return torch.randn(rows, cols, generator=rng) / math.sqrt(cols)

    def gain(n):
        return 1 + 0.2 * torch.randn(n, generator=rng)

    params = {"model.embed_tokens.weight": init["embed_std"] * torch.randn(v, c, generator=rng)}
    for layer_idx in range(config["n_layers"]):
        layer = f"model.layers.{layer_idx}."
        params[layer + "input_layernorm.weight"] = gain(c)
        params[layer + "self_attn.q_proj.weight"] = matrix(h * d, c)
        params[layer + "self_attn.k_proj.weight"] = matrix(k * d, c)
        params[layer + "self_attn.v_proj.weight"] = matrix(k * d, c)
        params[layer + "self_attn.o_proj.weight"] = matrix(c, h * d)
        if config["qk_norm"]:
            params[layer + "self_attn.q_norm.weight"] = gain(d)
            params[layer + "self_attn.k_norm.weight"] = gain(d)
        params[layer + "post_attention_layernorm.weight"] = gain(c)
        params[layer + "mlp.gate_proj.weight"] = matrix(f, c)
        params[layer + "mlp.up_proj.weight"] = matrix(f, c)
        params[layer + "mlp.down_proj.weight"] = matrix(c, f)
    params["model.norm.weight"] = init["final_gain"] * gain(c)
    if not config["tie_embeddings"]:
        params["lm_head.weight"] = init["head_std"] * torch.randn(v, c, generator=rng)
    return params


def rmsnorm(x, gain, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * gain


def rope(x, positions, theta):
    """Rotates channel i of `x [R, heads, D]` with channel i + D/2, by the angle position·theta^(−2i/D)."""
    d = x.shape[-1]
    frequencies = 1.0 / theta ** (torch.arange(0, d, 2, dtype=torch.float32) / d)
    angles = (positions.float()[:, None] * frequencies)[:, None, :]  # f32 in every run, as in transformers
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    x1, x2 = x[..., : d // 2], x[..., d // 2 :]
    return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)


def forward(params, config, ids, segments):
    """Logits `[R, V]` of `ids [B, T]`: each document sees only itself and counts positions from 0."""
    h, k, d = config["n_heads"], config["n_kv_heads"], config["d_head"]
    eps, theta = config["norm_eps"], config["rope_theta"]
    ids = ids.reshape(-1)
    r = len(ids)
    document, position = torch.zeros(r, dtype=torch.long), torch.zeros(r, dtype=torch.long)
    for i, (start, length) in enumerate(segments.tolist()):
        document[start : start + length] = i
        position[start : start + length] = torch.arange(length)
    row = torch.arange(r)
    visible = (document[:, None] == document[None, :]) & (row[:, None] >= row[None, :])

    x = params["model.embed_tokens.weight"][ids]
    for layer_idx in range(config["n_layers"]):
        layer = f"model.layers.{layer_idx}."

        def weight(name):
            return params[layer + name + ".weight"]

        y = rmsnorm(x, weight("input_layernorm"), eps)
        query = (y @ weight("self_attn.q_proj").T).view(r, h, d)
        key = (y @ weight("self_attn.k_proj").T).view(r, k, d)
        value = (y @ weight("self_attn.v_proj").T).view(r, k, d)
        if config["qk_norm"]:
            query = rmsnorm(query, weight("self_attn.q_norm"), eps)
            key = rmsnorm(key, weight("self_attn.k_norm"), eps)
        query, key = rope(query, position, theta), rope(key, position, theta)
        key, value = (z.repeat_interleave(h // k, dim=1) for z in (key, value))  # head i reads i // (H/K)
        scores = torch.einsum("qhd,khd->hqk", query, key) / math.sqrt(d)
        mixed = torch.einsum("hqk,khd->qhd", scores.masked_fill(~visible, -math.inf).softmax(-1), value)
        x = x + mixed.reshape(r, h * d) @ weight("self_attn.o_proj").T

        y = rmsnorm(x, weight("post_attention_layernorm"), eps)
        gated = F.silu(y @ weight("mlp.gate_proj").T) * (y @ weight("mlp.up_proj").T)
        x = x + gated @ weight("mlp.down_proj").T
    head = "model.embed_tokens.weight" if config["tie_embeddings"] else "lm_head.weight"
    return rmsnorm(x, params["model.norm.weight"], eps) @ params[head].T


def loss_and_gradients(params, config, ids, targets, segments):
    leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    logits = forward(leaves, config, ids, segments)
    loss = F.cross_entropy(logits, targets.reshape(-1))
    loss.backward()
    return logits.detach(), loss.detach(), {name: p.grad for name, p in leaves.items()}


# The optimizers


def is_hidden_matrix(name, p):
    return p.ndim == 2 and ".layers." in name


class Muon32(torch.optim.Optimizer):
    """The formulas of the docstring above, in the precision of the parameters."""

    def __init__(self, params, settings):
        super().__init__(params, {})
        self.settings = settings

    @torch.no_grad()
    def step(self):
        s = self.settings
        a, b, c = s["ns_coefficients"]
        for p in self.param_groups[0]["params"]:
            m = self.state[p].setdefault("m", torch.zeros_like(p))
            m.lerp_(p.grad, 1 - s["momentum"])
            x = p.grad.lerp(m, s["momentum"])
            rows, cols = p.shape
            x = x.T if rows > cols else x
            x = x / x.norm().clamp(min=s["eps"])
            for _ in range(s["ns_steps"]):
                gram = x @ x.T
                x = a * x + (b * gram + c * gram @ gram) @ x
            x = x.T if rows > cols else x
            p.mul_(1 - s["lr"] * s["weight_decay"])
            p.add_(x, alpha=-s["lr"] * math.sqrt(max(1, rows / cols)))


def torch_muon(params, s):
    """PyTorch's own, with bfloat16 iterations."""
    return torch.optim.Muon(
        params,
        lr=s["lr"],
        weight_decay=s["weight_decay"],
        momentum=s["momentum"],
        nesterov=s["nesterov"],
        ns_coefficients=tuple(s["ns_coefficients"]),
        eps=s["eps"],
        ns_steps=s["ns_steps"],
        adjust_lr_fn=s["adjust_lr"],
    )


def train(params, config, ids, targets, segments, hidden_optimizer=None):
    """Parameters after one step per batch, with the loss and the gradient norm before each step.

    `hidden_optimizer(parameters, settings)` takes the hidden matrices; without one, AdamW takes everything.
    """
    leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    hidden = [p for name, p in leaves.items() if hidden_optimizer and is_hidden_matrix(name, p)]
    rest = [p for p in leaves.values() if not any(p is q for q in hidden)]
    s = OPTIMIZER["adamw"]
    groups = [
        {"params": [p for p in rest if p.ndim == 2], "weight_decay": s["weight_decay"]},
        {"params": [p for p in rest if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizers = [
        torch.optim.AdamW(groups, lr=s["lr"], betas=(s["beta1"], s["beta2"]), eps=s["eps"], foreach=False)
    ]
    if hidden:
        optimizers.append(hidden_optimizer(hidden, OPTIMIZER["muon"]))
    losses, norms = [], []
    for step_ids, step_targets in zip(ids, targets):
        logits = forward(leaves, config, step_ids, segments)
        loss = F.cross_entropy(logits, step_targets.reshape(-1))
        for p in leaves.values():
            p.grad = None
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(leaves.values()), OPTIMIZER["max_grad_norm"]))
        losses.append(loss.detach())
        for optimizer in optimizers:
            optimizer.step()
    return torch.stack(losses), torch.stack(norms), {name: p.detach() for name, p in leaves.items()}


# The checks


def hugging_face(config, params):
    """The model of `transformers` with our parameters, in eager f32."""
    kwargs = {
        "vocab_size": config["vocab_size"],
        "hidden_size": config["d_model"],
        "intermediate_size": config["d_ff"],
        "num_hidden_layers": config["n_layers"],
        "num_attention_heads": config["n_heads"],
        "num_key_value_heads": config["n_kv_heads"],
        "head_dim": config["d_head"],
        "max_position_embeddings": config["max_seq_len"],
        "rms_norm_eps": config["norm_eps"],
        "rope_theta": config["rope_theta"],
        "tie_word_embeddings": config["tie_embeddings"],
        "attention_bias": False,
        "hidden_act": "silu",
        "attn_implementation": "eager",
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if config["qk_norm"]:
        model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**kwargs))
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**kwargs))
    ours = dict(params)
    if config["tie_embeddings"]:
        ours["lm_head.weight"] = ours["model.embed_tokens.weight"]
    model.load_state_dict(ours, strict=True)
    return model.float().eval()


def largest_difference(a, b):
    """Over one tensor or over two dictionaries of tensors with the same names."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), sorted(a.keys() ^ b.keys())
        return max(largest_difference(a[name], b[name]) for name in a)
    return (a.double() - b.double()).abs().max().item()


def check_against_transformers(config, params, ids, targets, segments, logits, loss, grads):
    """Every document alone through `transformers`: same logits, same loss, same gradients."""
    model = hugging_face(config, params)
    ids, targets = ids.reshape(-1), targets.reshape(-1)
    their_logits = torch.cat(
        [model(input_ids=ids[None, start : start + n]).logits[0] for start, n in segments.tolist()]
    )
    their_loss = F.cross_entropy(their_logits, targets)
    their_loss.backward()
    their_grads = {name: p.grad for name, p in model.named_parameters()}
    found = {
        "logits": largest_difference(logits, their_logits.detach()),
        "loss": largest_difference(loss, their_loss.detach()),
        "grad": largest_difference(grads, their_grads),
    }
    for what, difference in found.items():
        assert difference < 1e-5, f"{what} is {difference:.3g} away from {type(model).__name__}, want < 1e-5"
    listed = ", ".join(f"{what} {difference:.1e}" for what, difference in found.items())
    print(f"  {type(model).__name__}, one document at a time, max |Δ|: {listed}")


def check_against_torch_muon(config, params, ids, targets, segments, ours):
    """Loosely: bfloat16 iterations differ by up to a few percent of a step, of which there are ten."""
    _, _, theirs = train(params, config, ids, targets, segments, torch_muon)
    moved = math.sqrt(sum((p - params[name]).pow(2).sum().item() for name, p in ours.items()))
    apart = math.sqrt(sum((p - theirs[name]).pow(2).sum().item() for name, p in ours.items()))
    assert apart < 0.1 * moved, f"Muon is {apart / moved:.1%} of its path away from torch.optim.Muon, want < 10%"
    print(f"  torch.optim.Muon (bfloat16) ends {apart / moved:.2%} of the path length away")


# The files


def save(path, tensors, metadata):
    """Safetensors by hand: the library writes its metadata in random order, and a fixture should be stable."""
    names = {torch.float32: "F32", torch.int32: "I32"}
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in tensors.items():
        blob = tensor.contiguous().numpy().tobytes()
        end = offset + len(blob)
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        blobs.append(blob)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(tensors) and file.metadata() == metadata
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor), name


def batch(config, n_rows, n_tokens, rng):
    """Ids and targets `[B, T]`, frequent ids far more often than rare ones, so that there is a thing to learn."""
    frequency = 1.0 / torch.arange(1, config["vocab_size"] + 1)
    rows = torch.multinomial(frequency, n_rows * (n_tokens + 1), replacement=True, generator=rng)
    rows = rows.view(n_rows, n_tokens + 1)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def make(name, config, init, documents, folder):
    print(name)
    rng = torch.Generator().manual_seed(SEED)
    params = init_params(config, init, rng)
    n_rows, n_tokens = len(documents), sum(documents[0])
    assert all(sum(lengths) == n_tokens for lengths in documents)
    lengths = torch.tensor([n for row in documents for n in row])
    segments = torch.stack([lengths.cumsum(0) - lengths, lengths], dim=1)
    ids, targets = batch(config, n_rows, n_tokens, rng)
    steps = [batch(config, n_rows, n_tokens, rng) for _ in range(N_STEPS)]
    step_ids, step_targets = (torch.stack(tensors) for tensors in zip(*steps))

    logits, loss, grads = loss_and_gradients(params, config, ids, targets, segments)
    check_against_transformers(config, params, ids, targets, segments, logits, loss, grads)
    runs = {"adamw": None, "muon": Muon32}
    trained = {
        run: train(params, config, step_ids, step_targets, segments, hidden) for run, hidden in runs.items()
    }
    check_against_torch_muon(config, params, step_ids, step_targets, segments, trained["muon"][2])

    exact = {name: p.double() for name, p in params.items()}
    exact_logits, exact_loss, exact_grads = loss_and_gradients(exact, config, ids, targets, segments)
    f32_error = {
        "logits": largest_difference(logits, exact_logits),
        "loss": largest_difference(loss, exact_loss),
        "grad": largest_difference(grads, exact_grads),
    }
    for run, hidden in runs.items():
        results = train(exact, config, step_ids, step_targets, segments, hidden)
        for what, ours, want in zip(["loss", "grad_norm", "param"], trained[run], results):
            f32_error[f"{run}.{what}"] = largest_difference(ours, want)
    print("  max |f32 - f64|:", ", ".join(f"{what} {error:.1e}" for what, error in f32_error.items()))

    tensors = {f"param.{name}": p for name, p in params.items()}
    tensors |= {"ids": ids.int(), "targets": targets.int(), "segments": segments.int()}
    tensors |= {"logits": logits, "loss": loss.reshape(1)}
    tensors |= {f"grad.{name}": grads[name] for name in params}
    tensors |= {"step.ids": step_ids.int(), "step.targets": step_targets.int()}
    for run, (losses, norms, after) in trained.items():
        tensors |= {f"{run}.loss": losses, f"{run}.grad_norm": norms}
        tensors |= {f"{run}.param.{name}": after[name] for name in params}
        margin = norms - OPTIMIZER["max_grad_norm"]
        n_clipped = int((margin > 0).sum())
        assert 0 < n_clipped < N_STEPS, f"{run}: {n_clipped} of {N_STEPS} steps are clipped, want some of each"
        assert margin.abs().min() > 1e-3, f"{run}: a norm is {margin.abs().min():.1e} from clipping, want > 1e-3"
        print(f"  {run}: loss {losses[0]:.3f} to {losses[-1]:.3f}, {n_clipped} of {N_STEPS} steps clipped")
    path = folder / f"{name}.safetensors"
    metadata = {
        "format": "pt",
        "format_version": FORMAT_VERSION,
        "generator": GENERATOR,
        "config": json.dumps(config),
        "optimizer": json.dumps(OPTIMIZER),
        "seed": str(SEED),
        "torch_version": torch.__version__,
        "f32_error": json.dumps({what: float(f"{error:.3g}") for what, error in f32_error.items()}),
    }
    save(path, tensors, metadata)
    n_params = sum(p.numel() for p in params.values())
    print(f"  {n_params} parameters, {len(tensors)} tensors, {path.stat().st_size} bytes")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    folder = Path(__file__).resolve().parents[2] / "fixtures"
    folder.mkdir(exist_ok=True)
    for name, fixture in FIXTURES.items():
        make(name, folder=folder, **fixture)


if __name__ == "__main__":
    main()
