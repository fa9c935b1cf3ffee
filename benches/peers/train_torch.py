#!/usr/bin/env python3
"""Training steps of a GPT in PyTorch: the work of `maquette bench train`, done by the peer.

    python train_torch.py --n-layers 6 --d-model 384 --dtype bf16 --compile --json

A step is forward, backward, clipping of the gradient norm, fused AdamW and dropping the gradients. Its time is the
median over --steps, after --warmup steps that are not counted (compilation happens in the first of them).

Model: pre-norm decoder with RMSNorm, rotary embedding, causal attention with shared key/value heads, SwiGLU, untied
head, no biases. With --dtype bf16 the forward runs under autocast; parameters, gradients and moments stay f32.

Shapes: B rows of T tokens, C `d_model`, H heads, K kv heads, D `d_head`, F `d_ff`, V vocabulary.
"""

import argparse
import json
import resource
import statistics
import sys
import time

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:
    sys.exit(f"error: {error}\nhint: pip install torch numpy, into the environment of this interpreter")

NORM_EPS = 1e-6
ROTARY_BASE = 1e4
MAX_GRAD_NORM = 1.0
LEARNING_RATE = 1e-3

# Flag, default. The first eight are the shape, with the defaults of `maquette bench train`.
SIZES = {
    "n_layers": 6,
    "d_model": 384,
    "n_heads": 6,
    "n_kv_heads": 6,
    "d_ff": 1024,
    "vocab_size": 8192,
    "batch": 8,
    "seq_len": 256,
    "steps": 9,
    "warmup": 3,
    "threads": 2,
}


class RmsNorm(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(d_model))

    def forward(self, x):
        return functional.rms_norm(x, self.gain.shape, self.gain, NORM_EPS)


def rotate(x, angles):
    """Turns channel i of each head together with channel i + D/2; `x` `[B, H, T, D]`, `angles` two of `[T, D/2]`."""
    cos, sin = angles
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Attention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads):
        super().__init__()
        self.d_head = d_model // n_heads
        self.is_grouped = n_heads != n_kv_heads
        self.widths = [d_model, n_kv_heads * self.d_head, n_kv_heads * self.d_head]
        self.qkv = nn.Linear(d_model, sum(self.widths), bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, angles):
        parts = self.qkv(x).split(self.widths, dim=-1)
        query, key, value = (part.unflatten(-1, (-1, self.d_head)).transpose(1, 2) for part in parts)  # [B, H, T, D]
        mixed = functional.scaled_dot_product_attention(
            rotate(query, angles), rotate(key, angles), value, is_causal=True, enable_gqa=self.is_grouped
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.gate_up = nn.Linear(d_model, 2 * d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.attention_norm = RmsNorm(args.d_model)
        self.feed_forward_norm = RmsNorm(args.d_model)
        self.attention = Attention(args.d_model, args.n_heads, args.n_kv_heads)
        self.feed_forward = FeedForward(args.d_model, args.d_ff)

    def forward(self, x, angles):
        x = x + self.attention(self.attention_norm(x), angles)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Gpt(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.embedding = nn.Embedding(args.vocab_size, args.d_model)
        self.layers = nn.ModuleList([Layer(args) for _ in range(args.n_layers)])
        self.norm = RmsNorm(args.d_model)
        self.head = nn.Linear(args.d_model, args.vocab_size, bias=False)
        n_pairs = args.d_model // args.n_heads // 2
        frequency = ROTARY_BASE ** (-torch.arange(n_pairs) / n_pairs)
        angle = torch.arange(args.seq_len)[:, None] * frequency
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, ids, targets):
        """Mean loss in nats over `[B, T]` ids and targets."""
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, (self.cos, self.sin))
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def train_flops(args, model):
    """FLOPs of the products of one step: 6 a matrix weight and token; causal attention is half of the square."""
    n_weights = sum(p.numel() for p in model.parameters()) - model.embedding.weight.numel()
    per_token = 6 * n_weights + 6 * args.n_layers * args.d_model * args.seq_len
    return args.batch * args.seq_len * per_token


def measure(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = Gpt(args)
    forward = torch.compile(model) if args.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    ids, targets = (torch.randint(args.vocab_size, (args.batch, args.seq_len)) for _ in range(2))

    seconds = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
            loss = forward(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - start)

    step_s = statistics.median(seconds[args.warmup :])
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "peer": f"torch {torch.__version__} {'compile' if args.compile else 'eager'}",
        "dtype": args.dtype,
        "step_ms": 1e3 * step_s,
        "tokens_per_second": args.batch * args.seq_len / step_s,
        "gflops": train_flops(args, model) / step_s / 1e9,
        "loss": loss.item(),
        "peak_rss_mb": peak_kib * 1024 / 1e6,  # 10⁶ bytes, as ours
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in SIZES.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=default)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
    parser.add_argument("--compile", action="store_true", help="torch.compile instead of eager execution")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if min(args.steps, args.threads) < 1 or args.warmup < 0:
        parser.error(f"expected steps and threads of 1 or more, found --steps {args.steps} --threads {args.threads}")
    return args


def main():
    args = parse()
    output = measure(args)
    if args.json:
        print(json.dumps(output))
    else:
        print("  ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in output.items()))


if __name__ == "__main__":
    main()
