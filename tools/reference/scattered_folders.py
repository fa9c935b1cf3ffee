"""Small model folders that scatter their settings over their files, and what transformers makes of them.

    python tools/reference/scattered_folders.py fixtures/scattered_folders.json

Needs torch and transformers 5; takes about a minute. A fixture holds one base folder and, for each case, the changes
that make another folder of it, with ids of some texts, ids that end and begin generation, and logits as transformers
gives them. `crates/maquette/tests/it/scattered_folders.rs` builds each folder, imports it and compares.

    python tools/reference/scattered_folders.py fixtures/scattered_folders.json target/debug/maquette

builds and imports them with that binary instead, and opens every checkpoint with transformers: it must be to
transformers what the source was.
"""

import copy
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="critical", TOKENIZERS_PARALLELISM="false")

import torch
import transformers
from transformers.utils import logging
from safetensors.torch import save_file

logging.disable_progress_bar()
N_ROWS, WIDTH, HEADS, KV_HEADS, HEAD_DIM, FF, LAYERS, POSITIONS = 272, 8, 2, 1, 4, 16, 2, 64
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEXTS = [
    "In 1984 they're here:  12 3.",
    "a<|end|>b<|tool|><|extra|> <|image|>c</s>d",
    "<|user|>hi<|assistant|>yes<|endoftext|>",
    "e\u0301 = \u00e9, o\u0308.",
    "",
]
PROMPT = [(7 * i * i + 31 * i + 3) % 256 for i in range(40)]
# A part of the logits of the last position says which model it is.
SHOWN = list(range(0, N_ROWS, 17))


class Absent:
    """Marks a key that is taken out."""


ABSENT = Absent()


def added(id, content, special=True, **more):
    token = dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=special)
    return {**token, **more}


def properties(content, special=True, **more):
    token = added(0, content, special, **more)
    del token["id"]
    return token


def byte_chars():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(moved)) for byte in range(256)]


def pre_tokenizer(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def template(before=None, after=None):
    piece = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    names = [name for name in (before, after) if name]
    ids = {token["content"]: token["id"] for token in BASE["tokenizer.json"]["added_tokens"]}
    return {
        "type": "TemplateProcessing",
        "single": ([piece(before)] if before else []) + [text] + ([piece(after)] if after else []),
        "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in names},
    }


MERGES = [["t", "h"], ["h", "e"], ["1", "9"], ["<", "/"], ["s", ">"], ["</", "s>"]]
VOCAB = byte_chars() + ["".join(merge) for merge in MERGES]  # 256 … 261, where `</s>` is an ordinary token
BASE = {
    "config.json": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": N_ROWS, "hidden_size": WIDTH,
        "intermediate_size": FF, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "max_position_embeddings": POSITIONS,
        "rms_norm_eps": 1e-5, "rope_theta": 100.0, "hidden_act": "silu", "tie_word_embeddings": False,
        "torch_dtype": "float32",
    },
    "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"},
    "tokenizer.json": {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            added(262, "<|endoftext|>"), added(263, "<|end|>"), added(264, "<|user|>"),
            added(265, "<|assistant|>", special=False), added(266, "<|begin|>"),
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer(split(LLAMA3), byte_level(False)),
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {name: id for id, name in enumerate(VOCAB)}, "merges": MERGES,
        },
    },
}


def weights(seed=1):
    """Every tensor that a case may need, as 64ths."""
    shapes = {"model.embed_tokens.weight": (N_ROWS, WIDTH), "lm_head.weight": (N_ROWS, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        attention = name + "self_attn."
        shapes |= {
            name + "input_layernorm.weight": (WIDTH,), name + "post_attention_layernorm.weight": (WIDTH,),
            attention + "q_proj.weight": (HEADS * HEAD_DIM, WIDTH), attention + "k_proj.weight": (KV_HEADS * HEAD_DIM, WIDTH),
            attention + "v_proj.weight": (KV_HEADS * HEAD_DIM, WIDTH), attention + "o_proj.weight": (WIDTH, HEADS * HEAD_DIM),
            attention + "q_proj.bias": (HEADS * HEAD_DIM,), attention + "k_proj.bias": (KV_HEADS * HEAD_DIM,),
            attention + "v_proj.bias": (KV_HEADS * HEAD_DIM,), attention + "q_norm.weight": (HEAD_DIM,),
            attention + "k_norm.weight": (HEAD_DIM,), name + "mlp.gate_proj.weight": (FF, WIDTH),
            name + "mlp.up_proj.weight": (FF, WIDTH), name + "mlp.down_proj.weight": (WIDTH, FF),
        }
    generator = torch.Generator().manual_seed(seed)
    pool = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator) * 32
        if name.endswith("norm.weight"):
            values = values / 4 + 64
        pool[name] = values.round().clamp(-127, 127).to(torch.int64)
    return pool


WEIGHTS = weights()


# Variations: axis, name, changes, and the key that a refusal names, where this program refuses.
# A change is (file, path of keys, value). `weights` is how head and embedding are stored.
VARIATIONS = []


def vary(axis, name, *changes, refused=None, weights=None, mark=None, family=None):
    VARIATIONS.append(dict(axis=axis, name=name, changes=list(changes), refused=refused, weights=weights, mark=mark,
                           family=family))


def config(key, value):
    return ("config.json", [key], value)


def tokens(key, value):
    return ("tokenizer_config.json", [key], value)


def generation(**keys):
    return ("generation_config.json", [], keys)


def tokenizer(*path_and_value):
    return ("tokenizer.json", list(path_and_value[:-1]), path_and_value[-1])


def declare():
    # Where texts end.
    vary("ends", "eos in config.json alone", tokens("eos_token", ABSENT), config("eos_token_id", 264))
    vary("ends", "eos in config.json too", config("eos_token_id", 264))
    vary("ends", "eos list in config.json", config("eos_token_id", [263, 266]))
    vary("ends", "eos in generation_config.json", generation(eos_token_id=266))
    vary("ends", "eos list in generation_config.json", generation(eos_token_id=[262, 264, 263]))
    vary("ends", "three places disagree", config("eos_token_id", 262), generation(eos_token_id=[266, 264]))
    vary("ends", "eos null, list in generation_config.json", tokens("eos_token", None), generation(eos_token_id=[265, 263]))
    vary("ends", "eos with properties", tokens("eos_token", {"__type": "AddedToken", **properties("<|user|>")}))
    vary("ends", "an ordinary token ends", tokens("eos_token", "</s>"))
    vary("ends", "an ordinary token's id ends", config("eos_token_id", 261))
    vary("ends", "pad and bos declared", tokens("pad_token", "<|endoftext|>"), tokens("bos_token", "<|begin|>"))
    vary("ends", "pad and bos in three files", tokens("pad_token", "<|endoftext|>"),
         config("pad_token_id", 264), config("bos_token_id", 266), generation(pad_token_id=266, eos_token_id=263))
    vary("ends", "special_tokens_map.json overrides", ("special_tokens_map.json", [], {"eos_token": "<|user|>"}))
    vary("ends", "special_tokens_map.json overrides with properties",
         ("special_tokens_map.json", [], {"eos_token": properties("<|endoftext|>"), "bos_token": "<|begin|>"}))
    vary("ends", "id without token in generation_config.json", generation(eos_token_id=[263, 271]), refused="eos_token_id")
    vary("ends", "id without token in config.json", config("eos_token_id", 900), refused="eos_token_id")
    vary("ends", "special_tokens_map.json is not read", tokens("added_tokens_decoder", {}),
         ("special_tokens_map.json", [], {"eos_token": "<|user|>"}))
    vary("ends", "a name that no token has", tokens("eos_token", "<|stop|>"))
    # Tokens outside tokenizer.json.
    both = {"267": properties("<|tool|>"), "268": properties("<|extra|>", special=False)}
    vary("tokens", "added_tokens_decoder adds", tokens("added_tokens_decoder", both))
    vary("tokens", "added_tokens_decoder makes special",
         tokens("added_tokens_decoder", {"265": properties("<|assistant|>")}))
    vary("tokens", "added_tokens_decoder makes ordinary",
         tokens("added_tokens_decoder", {"264": properties("<|user|>", special=False, normalized=True)}))
    vary("tokens", "added_tokens_decoder promotes a vocabulary entry",
         tokens("added_tokens_decoder", {"261": properties("</s>")}))
    vary("tokens", "added_tokens_decoder with a hole", tokens("added_tokens_decoder", {"269": properties("<|tool|>")}),
         refused="<|tool|>")
    vary("tokens", "added_tokens_decoder moves a token", tokens("added_tokens_decoder", {"267": properties("<|user|>")}),
         refused="<|user|>")
    vary("tokens", "added_tokens_decoder strips", tokens("added_tokens_decoder", {"267": properties("<|tool|>", lstrip=True)}),
         refused="lstrip")
    vary("tokens", "added_tokens.json adds", ("added_tokens.json", [], {"<|extra|>": 268, "<|tool|>": 267}))
    vary("tokens", "added_tokens.json with a wrong id", ("added_tokens.json", [], {"<|tool|>": 270}), refused="<|tool|>")
    vary("tokens", "added_tokens.json takes another's id", ("added_tokens.json", [], {"<|tool|>": 264}), refused="<|tool|>")
    vary("tokens", "added_tokens.json is not read", tokens("added_tokens_decoder", {}),
         ("added_tokens.json", [], {"<|tool|>": 267}))
    vary("tokens", "additional_special_tokens", tokens("additional_special_tokens", ["<|extra|>", "<|tool|>", "<|user|>"]))
    vary("tokens", "extra_special_tokens list", tokens("extra_special_tokens", ["<|tool|>"]))
    vary("tokens", "extra_special_tokens beside additional", tokens("extra_special_tokens", ["<|tool|>"]),
         tokens("additional_special_tokens", ["<|extra|>"]))
    vary("tokens", "extra_special_tokens by name",
         tokens("extra_special_tokens", {"image_token": "<|image|>", "tool_token": "<|tool|>"}))
    vary("tokens", "a setting of its own", tokens("image_token", "<|image|>"), tokens("unk_token", "<|tool|>"))
    vary("tokens", "special_tokens_map.json adds",
         ("special_tokens_map.json", [], {"additional_special_tokens": ["<|image|>", "<|extra|>"]}))
    vary("tokens", "special_tokens_map.json adds by name",
         ("special_tokens_map.json", [], {"mask_token": "<|extra|>", "pad_token": properties("<|image|>")}))
    vary("tokens", "named token made special", tokens("sep_token", "<|assistant|>"))
    vary("tokens", "named token beyond the rows", tokens("additional_special_tokens", [f"<|{i}|>" for i in range(8)]),
         refused="beyond the model's 272 rows")
    vary("tokens", "tokenizer.json with a wrong id", tokenizer("added_tokens", 4, "id", 269), refused="<|begin|>")
    # The pipeline, and the ways to say nothing.
    vary("pipeline", "empty normalizer", tokenizer("normalizer", {"type": "Sequence", "normalizers": []}))
    vary("pipeline", "sequence of one normalizer", tokenizer("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}]}))
    vary("pipeline", "nested normalizers", tokenizer("normalizer", {"type": "Sequence", "normalizers": [
        {"type": "Sequence", "normalizers": []}, {"type": "NFC"}, {"type": "NFC"}]}))
    vary("pipeline", "normalizers that do nothing", tokenizer("normalizer", {"type": "Sequence", "normalizers": [
        {"type": "Strip", "strip_left": False, "strip_right": False},
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a"},
        {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}]}))
    vary("pipeline", "lower case", tokenizer("normalizer", {"type": "Lowercase"}), refused="Lowercase")
    vary("pipeline", "dropout 0.0", tokenizer("model", "dropout", 0.0), tokenizer("model", "continuing_subword_prefix", ""))
    vary("pipeline", "nulls for flags", tokenizer("model", "fuse_unk", None), tokenizer("model", "byte_fallback", None),
         tokenizer("model", "ignore_merges", None), tokenizer("model", "end_of_word_suffix", ""))
    vary("pipeline", "dropout 0.5", tokenizer("model", "dropout", 0.5), refused="dropout")
    vary("pipeline", "byte fallback", tokenizer("model", "byte_fallback", True), refused="byte_fallback")
    vary("pipeline", "merges ignored", tokenizer("model", "ignore_merges", True))
    vary("pipeline", "GPT-2's pre-tokenizer", tokenizer("pre_tokenizer", byte_level(True)))
    vary("pipeline", "GPT2Tokenizer", tokenizer("pre_tokenizer", byte_level(True)), tokens("tokenizer_class", "GPT2Tokenizer"),
         family="llama")
    vary("pipeline", "nested pre-tokenizers", tokenizer("pre_tokenizer", pre_tokenizer(
        pre_tokenizer(split(QWEN2)), pre_tokenizer(), byte_level(False))))
    vary("pipeline", "no tokenizer_class", tokens("tokenizer_class", ABSENT), family="llama")
    vary("pipeline", "LlamaTokenizerFast", tokens("tokenizer_class", "LlamaTokenizerFast"), family="llama")
    vary("pipeline", "Qwen2Tokenizer", tokens("tokenizer_class", "Qwen2TokenizerFast"), tokenizer("normalizer", {"type": "NFC"}),
         tokenizer("pre_tokenizer", pre_tokenizer(split(QWEN2), byte_level(False))), tokens("eos_token", ABSENT))
    vary("pipeline", "Qwen2Tokenizer for another pattern", tokens("tokenizer_class", "Qwen2Tokenizer"), refused="Qwen2Tokenizer")
    vary("pipeline", "GPT2Tokenizer for another pattern", tokens("tokenizer_class", "GPT2TokenizerFast"), refused="GPT2Tokenizer",
         family="llama")
    vary("pipeline", "a class of its own", tokens("tokenizer_class", "GPTNeoXTokenizerFast"), refused="tokenizer_class", family="llama")
    vary("pipeline", "code of its own", tokens("auto_map", {"AutoTokenizer": [None, "tok.Tok"]}), refused="auto_map")
    vary("pipeline", "blank before texts", tokens("add_prefix_space", True), refused="add_prefix_space")
    vary("pipeline", "special tokens split", tokens("split_special_tokens", True), refused="split_special_tokens")
    # What a tokenizer puts around texts.
    vary("around", "template with a begin", tokenizer("post_processor", template("<|begin|>")), tokens("bos_token", "<|begin|>"))
    vary("around", "template with a begin that no setting names", tokenizer("post_processor", template("<|user|>")))
    vary("around", "template in a sequence", tokenizer("post_processor", {
        "type": "Sequence", "processors": [byte_level(True), template("<|begin|>")]}), tokens("add_bos_token", False))
    vary("around", "template that adds nothing", tokenizer("post_processor", template()))
    vary("around", "empty sequence of post-processors", tokenizer("post_processor", {"type": "Sequence", "processors": []}))
    vary("around", "template with an end", tokenizer("post_processor", template("<|begin|>", "<|end|>")), refused="<|end|>")
    vary("around", "a flag alone asks for a begin", tokens("add_bos_token", True), tokens("bos_token", "<|begin|>"),
         refused="add_bos_token")
    vary("around", "a flag alone asks for an end", tokens("add_eos_token", True), refused="add_eos_token")
    # Rotary frequencies.
    llama3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
    vary("rope", "theta in rope_parameters", config("rope_theta", ABSENT), config("rope_parameters", {"rope_type": "default", "rope_theta": 1000.0}))
    vary("rope", "theta in two places", config("rope_parameters", {"rope_type": "default", "rope_theta": 1000.0}))
    vary("rope", "theta outside of rope_parameters", config("rope_parameters", {"rope_type": "default"}))
    vary("rope", "no theta", config("rope_theta", ABSENT))
    vary("rope", "llama3 in rope_scaling", config("rope_scaling", llama3))
    vary("rope", "llama3 in rope_parameters", config("rope_parameters", {**llama3, "rope_theta": 500.0}))
    vary("rope", "llama3 by its old key", config("rope_scaling", {**llama3, "type": "llama3", "rope_type": "llama3"}))
    vary("rope", "llama3 without its first length", config("rope_scaling", {k: v for k, v in llama3.items() if k[0] != "o"}))
    vary("rope", "rope_scaling beside rope_parameters", config("rope_scaling", llama3),
         config("rope_parameters", {"rope_type": "default", "rope_theta": 100.0}))
    vary("rope", "rope_scaling loses a theta", config("rope_scaling", llama3),
         config("rope_parameters", {"rope_type": "default", "rope_theta": 1000.0}), refused="rope_theta")
    vary("rope", "linear beside rope_parameters", config("rope_scaling", {"rope_type": "linear", "factor": 4.0}),
         config("rope_parameters", {"rope_type": "default", "rope_theta": 100.0}), refused="rope_scaling")
    vary("rope", "linear by 1", config("rope_scaling", {"type": "linear", "factor": 1.0}))
    vary("rope", "empty rope_scaling", config("rope_scaling", {}), config("rope_parameters", {"rope_theta": 1000.0}))
    vary("rope", "yarn", config("rope_parameters", {"rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0}), refused="rope_parameters")
    vary("rope", "dynamic", config("rope_scaling", {"type": "dynamic", "factor": 2.0}), refused="rope_scaling")
    vary("rope", "a table for each kind of layer", config("rope_parameters", {
        "full_attention": {"rope_type": "default", "rope_theta": 1000.0}}), config("rope_theta", ABSENT), refused="full_attention")
    vary("rope", "an unknown key", config("rope_scaling", {"type": "default", "mrope_section": [1, 1]}), refused="mrope_section")
    vary("rope", "a factor of nothing", config("rope_parameters", {"rope_type": "default", "factor": 4.0, "rope_theta": 100.0}),
         refused="factor")
    vary("rope", "half of a head turns", config("partial_rotary_factor", 0.5), refused="partial_rotary_factor")
    vary("rope", "half of a head turns, within", config("rope_parameters", {"partial_rotary_factor": 0.5, "rope_theta": 100.0}),
         refused="partial_rotary_factor")
    vary("rope", "all of a head turns", config("partial_rotary_factor", 1))
    vary("rope", "first length in two places", config("rope_scaling", llama3), config("original_max_position_embeddings", 32),
         refused="original_max_position_embeddings")
    # Head and embedding.
    for sharded in [False, True]:
        more = ", sharded" if sharded else ""
        vary("head", "tied" + more, config("tie_word_embeddings", True), weights=dict(head="absent", sharded=sharded))
        vary("head", "tied with a copy" + more, config("tie_word_embeddings", True), weights=dict(head="copy", sharded=sharded))
        vary("head", "tied with another head" + more, config("tie_word_embeddings", True), weights=dict(head="own", sharded=sharded))
        vary("head", "tied by the head alone" + more, config("tie_word_embeddings", True), weights=dict(head="alone", sharded=sharded))
        vary("head", "untied" + more, weights=dict(head="own", sharded=sharded))
    vary("head", "tied with a copy in bf16", config("tie_word_embeddings", True), weights=dict(head="copy", dtype="bfloat16"))
    vary("head", "untied without head", weights=dict(head="absent"), refused="lm_head.weight")
    vary("head", "untied by default", config("tie_word_embeddings", ABSENT), weights=dict(head="own"))
    vary("head", "f16", config("torch_dtype", "float16"), weights=dict(head="own", dtype="float16"))
    # The rest of config.json.
    vary("model", "no architectures", config("architectures", ABSENT))
    vary("model", "empty architectures", config("architectures", []))
    vary("model", "model_type of another", config("model_type", "mistral"), refused="model_type")
    vary("model", "architecture of another", config("architectures", ["MistralForCausalLM"]), refused="architectures")
    vary("model", "a short window", config("sliding_window", 8), config("use_sliding_window", True), config("max_window_layers", 1),
         refused="sliding_window")
    vary("model", "a window as long as the context", config("sliding_window", 64))
    vary("model", "a window that is off", config("sliding_window", 8), config("use_sliding_window", False), family="qwen")
    vary("model", "a window behind the last layer", config("sliding_window", 8), config("use_sliding_window", True),
         config("max_window_layers", 2), family="qwen")
    vary("model", "full attention by name", config("layer_types", ["full_attention"] * LAYERS))
    vary("model", "one layer with a window", config("layer_types", ["full_attention", "sliding_attention"]),
         config("sliding_window", 8), refused="layer_types")
    vary("model", "layer_types for another depth", config("layer_types", ["full_attention"]), refused="layer_types")
    vary("model", "widths by default", config("head_dim", ABSENT), config("num_key_value_heads", KV_HEADS), family="llama")
    vary("model", "epsilon by default", config("rms_norm_eps", ABSENT))
    vary("model", "swish", config("hidden_act", "swish"))
    vary("model", "gelu", config("hidden_act", "gelu"), refused="hidden_act")
    vary("model", "biases", config("attention_bias", True), refused="attention_bias", family="llama")
    vary("model", "biases of the block", config("mlp_bias", True), refused="mlp_bias")
    vary("model", "Granite's scales", config("logits_scaling", 8.0), config("embedding_multiplier", 12.0), refused="logits_scaling")
    vary("model", "softcap", config("final_logit_softcapping", 30.0), refused="final_logit_softcapping")
    vary("model", "experts", config("num_local_experts", 4), refused="num_local_experts")
    vary("model", "layers of their own", config("per_layer_config", {"0": {"rms_norm_eps": 0.1}}), refused="per_layer_config")
    vary("model", "quantization", config("quantization_config", {"quant_method": "bitnet", "modules_to_not_convert": []}),
         refused="quantization_config")
    vary("model", "code of the model's own", config("auto_map", {"AutoModelForCausalLM": "modeling.Other"}), refused="auto_map")
    vary("model", "an adapter", ("adapter_config.json", [], {"peft_type": "LORA", "base_model_name_or_path": "x"}), refused="adapter")
    vary("model", "harmless keys", config("pretraining_tp", 1), config("use_cache", True), config("attention_dropout", 0.1),
         config("my_note", "trained on a laptop"), config("initializer_range", 0.5), config("dtype", "float32"))
    # Byte-order marks.
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]:
        vary("mark", f"a byte-order mark before {name}", mark=name)


FAMILIES = {
    "llama": [],
    "qwen2": [config("architectures", ["Qwen2ForCausalLM"]), config("model_type", "qwen2"),
              tokenizer("pre_tokenizer", pre_tokenizer(split(QWEN2), byte_level(False))), tokenizer("normalizer", {"type": "NFC"})],
    "qwen3": [config("architectures", ["Qwen3ForCausalLM"]), config("model_type", "qwen3")],
}


def change(files, changes):
    for file, path, value in changes:
        if not path:
            files[file] = {**files.get(file, {}), **copy.deepcopy(value)}
            continue
        place = files[file]
        for key in path[:-1]:
            place = place[key]
        if value is ABSENT:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = copy.deepcopy(value)


def tensors_of(family, stored):
    """The tensors of a family's file, in floats."""
    left_out = {"llama": ("bias", "q_norm.weight", "k_norm.weight"), "qwen2": ("q_norm.weight", "k_norm.weight"), "qwen3": ("bias",)}
    tensors = {name: w for name, w in WEIGHTS.items() if not name.endswith(left_out[family])}
    head, embedding = "lm_head.weight", "model.embed_tokens.weight"
    match stored.get("head", "own"):
        case "absent":
            del tensors[head]
        case "copy":
            tensors[head] = tensors[embedding]
        case "alone":
            tensors[head] = tensors.pop(embedding)
    dtype = getattr(torch, stored.get("dtype", "float32"))
    return {name: (w.float() / 64).to(dtype).contiguous().clone() for name, w in tensors.items()}


def write(folder, case, base):
    """The case's folder, made of the base folder and the case alone: as the test makes it."""
    files = copy.deepcopy(base)
    for file, path, value in case["changes"]:
        change(files, [(file, path, ABSENT if value == {"absent": True} else value)])
    for name, content in files.items():
        mark = b"\xef\xbb\xbf" if name == case["mark"] else b""
        (folder / name).write_bytes(mark + json.dumps(content, ensure_ascii=False).encode())
    tensors = tensors_of(case["family"], case["weights"])
    if case["weights"].get("sharded"):
        names = sorted(tensors)
        parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        index = {"metadata": {}, "weight_map": {name: part for part, all in parts.items() for name in all}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        for part, all in parts.items():
            save_file({name: tensors[name] for name in all}, folder / part, {"format": "pt"})
    else:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def ids_of(value):
    return [] if value is None else value if isinstance(value, list) else [value]


def ask(folder):
    """What transformers makes of a folder."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    missing = {name: sorted(info[name]) for name in ["missing_keys", "unexpected_keys", "mismatched_keys"] if info[name]}
    if missing:
        raise ValueError(f"weights do not fit: {missing}")
    with torch.no_grad():
        logits = model.eval()(torch.tensor([PROMPT])).logits[0, -1]
    read = lambda name: json.loads((folder / name).read_text(encoding="utf-8-sig")) if (folder / name).exists() else {}
    declared, generation = read("config.json"), read("generation_config.json")
    # transformers stops where generation_config.json says, else where config.json says; LlamaConfig's own default, 2, is
    # declared nowhere and is left out.
    stops = ids_of(tokenizer.eos_token_id) + ids_of(declared.get("eos_token_id")) + ids_of(generation.get("eos_token_id"))
    first = lambda *all: next((id for id in all if id is not None), None)
    return dict(
        ids=[tokenizer(text)["input_ids"] for text in TEXTS],
        decoded=[tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) for text in TEXTS],
        stops=list(dict.fromkeys(stops)),
        bos=first(generation.get("bos_token_id"), declared.get("bos_token_id"), tokenizer.bos_token_id),
        pad=first(generation.get("pad_token_id"), declared.get("pad_token_id"), tokenizer.pad_token_id),
        logits=[round(float(logits[i]), 6) for i in SHOWN],
    )


def make(name, family, chosen):
    """A case: the changes of a family and of some variations."""
    changes = [c for c in FAMILIES[family]] + [c for v in chosen for c in v["changes"]]
    stored = next((v["weights"] for v in chosen if v["weights"]), {})
    mark = next((v["mark"] for v in chosen if v["mark"]), None)
    if mark == "generation_config.json":
        changes.append(generation(do_sample=True))
    refused = [v["refused"] for v in chosen if v["refused"]]
    rebuilds = family == "qwen2" or any(v["name"] in ("GPT2Tokenizer", "Qwen2Tokenizer") for v in chosen)
    if rebuilds and any(path == ["added_tokens_decoder"] for _, path, _ in changes):
        refused.append("added_tokens_decoder")  # these classes forget the added tokens of tokenizer.json then
    return dict(name=name, family=family, mark=mark, weights=stored, refused=refused,
                changes=[[file, path, {"absent": True} if value is ABSENT else value] for file, path, value in changes])


def fits(variation, family):
    wanted = variation["family"]
    if family == "qwen2" and variation["axis"] == "pipeline" and variation["name"] != "Qwen2Tokenizer":
        return False  # transformers takes Qwen2's own pipeline, whatever the file says
    return wanted is None or family.startswith(wanted)


def cases():
    declare()
    for variation in VARIATIONS:
        family = next(family for family in FAMILIES if fits(variation, family))
        yield make(variation["name"], family, [variation])
    draw = random.Random(20)
    n = 0
    while n < 120:
        family = draw.choice(list(FAMILIES))
        axes = draw.sample(sorted({v["axis"] for v in VARIATIONS}), draw.choice([2, 3, 3, 4]))
        fitting = [[v for v in VARIATIONS if v["axis"] == axis and fits(v, family)] for axis in axes]
        # A refusal hides what lies behind it: one in five folders may hold one.
        if draw.random() < 0.8:
            fitting = [[v for v in all if not v["refused"]] for all in fitting]
        if any(not all for all in fitting):
            continue
        chosen = [draw.choice(all) for all in fitting]
        yield make(f"{family}: " + "; ".join(v["name"] for v in chosen), family, chosen)
        n += 1


def main():
    path = Path(sys.argv[1])
    if len(sys.argv) > 2:
        return check(path, sys.argv[2])
    fixture = dict(generator="tools/reference/scattered_folders.py", transformers=transformers.__version__, texts=TEXTS,
                   prompt=PROMPT, shown=SHOWN, base=BASE,
                   weights={name: dict(shape=list(w.shape), sixty_fourths=w.flatten().tolist()) for name, w in WEIGHTS.items()},
                   cases=[])
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write(folder, {**case, "mark": None}, BASE)  # transformers refuses a byte-order mark
            try:
                case["expected"] = ask(folder)
            except BaseException as error:  # a panic of `tokenizers` is no Exception
                if isinstance(error, KeyboardInterrupt):
                    raise
                case["expected"] = None
                case["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        if case["expected"] is None and not case["refused"]:
            print("transformers refuses:", case["name"], "|", case["error"])
        fixture["cases"].append(case)
    lines = json.dumps(fixture, ensure_ascii=False).replace('{"name": ', '\n{"name": ')
    path.write_text(lines + "\n", encoding="utf-8")
    n = len(fixture["cases"])
    print(f"{n} folders, {sum(bool(c['refused']) for c in fixture['cases'])} with something that is refused, "
          f"{sum(c['expected'] is None for c in fixture['cases'])} that transformers does not open")


def check(path, binary):
    """Opens what `binary` made of each folder with transformers, and compares it with the source."""
    fixture = json.loads(path.read_text(encoding="utf-8"))
    n_equal, n_refused, others = 0, 0, []
    for case in fixture["cases"]:
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder) / "source", Path(folder) / "out"
            source.mkdir()
            write(source, case, fixture["base"])
            done = subprocess.run([binary, "import", source, "--out", out], capture_output=True, text=True)
            if done.returncode:
                n_refused += 1
                if not any(key in done.stderr for key in case["refused"]):
                    others.append((case["name"], "refused", done.stderr.strip()))
                continue
            found, expected = ask(out), case["expected"]
            problems = [] if not case["refused"] else [("expected a refusal", case["refused"])]
            for key in ["ids", "decoded", "bos", "pad"] if expected else []:
                if found[key] != (found[key] if expected[key] is None else expected[key]):
                    problems.append((key, found[key], expected[key]))
            if expected and found["stops"][: len(expected["stops"])] != expected["stops"]:
                problems.append(("stops", found["stops"], expected["stops"]))
            if expected and max(abs(a - b) for a, b in zip(found["logits"], expected["logits"])) > 1e-4:
                problems.append("logits")
            if problems:
                others.append((case["name"], problems))
            else:
                n_equal += 1
    for other in others:
        print(*other)
    print(f"{n_equal} checkpoints are to transformers what their sources were, {n_refused} folders were refused, "
          f"{len(others)} are others")
    if others:
        sys.exit(1)


if __name__ == "__main__":
    main()
