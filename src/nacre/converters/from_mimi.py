"""Mimi's weights, from Kyutai's `moshi` or from Hugging Face, into ours, and back again.

One table holds where each tensor stands in the three houses. Ours has queries, keys and values in one matrix, as Moshi
does, and turns features in halves, as Hugging Face does: Moshi turns neighbours, so its rows are sorted on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..codecs.mimi import PRESETS, Mimi, MimiConfig
from ..errors import DamagedError
from .state_dicts import as_weights, check_preset, fill, given_back, read_weights, ready, taken

Style = Literal["huggingface", "moshi"]

LAYER = {  # inside a layer of a transformer: here, in `transformers`, in `moshi`
    r"attention_norm\.(weight|bias)": (r"input_layernorm.\3", r"norm1.\3"),
    r"attention\.qkv\.weight": ("self_attn.*_proj.weight", "self_attn.in_proj_weight"),
    r"attention\.out\.weight": ("self_attn.o_proj.weight", "self_attn.out_proj.weight"),
    r"attention_scale\.gain": ("self_attn_layer_scale.scale", "layer_scale_1.scale"),
    r"net_norm\.(weight|bias)": (r"post_attention_layernorm.\3", r"norm2.\3"),
    r"up\.weight": ("mlp.fc1.weight", "linear1.weight"),
    r"down\.weight": ("mlp.fc2.weight", "linear2.weight"),
    r"net_scale\.gain": ("mlp_layer_scale.scale", "layer_scale_2.scale"),
}
QUANTIZER = {
    r"in_proj\.weight": ("input_proj.weight", "input_proj.weight"),
    r"out_proj\.weight": ("output_proj.weight", "output_proj.weight"),
    r"levels\.(\d+)\.codebook\.sums": (r"layers.\1.codebook.embed_sum", r"vq.layers.\1._codebook.embedding_sum"),
    r"levels\.(\d+)\.codebook\.counts": (r"layers.\1.codebook.cluster_usage", r"vq.layers.\1._codebook.cluster_usage"),
    r"levels\.(\d+)\.codebook\.started": (r"layers.\1.codebook.initialized", r"vq.layers.\1._codebook._initialized"),
}
HALVES = {"first": ("semantic", "rvq_first"), "second": ("acoustic", "rvq_rest")}
NESTED = {  # what transformers 5 calls its modules in memory, and in its files
    "encoder.encoder_seanet.": "encoder.",
    "encoder.encoder_transformer.": "encoder_transformer.",
    "encoder.downsample.": "downsample.",
    "decoder.decoder_seanet.": "decoder.",
    "decoder.decoder_transformer.": "decoder_transformer.",
    "decoder.upsample.": "upsample.",
}
LEAST_USE = 1e-5  # an entry is its sum over its use, and over no less than this


def load_mimi(path: str | Path, preset: str = "mimi-24k") -> Mimi:
    """The Mimi of a `.safetensors` file of Moshi's or of a Hugging Face folder; ready to code."""
    check_preset(preset, PRESETS)
    return from_mimi(read_weights(path, "Mimi", "state_dict"), PRESETS[preset], preset)


def from_mimi(weights: Mapping[str, Tensor], config: MimiConfig = PRESETS["mimi-24k"], name: str = "mimi-24k") -> Mimi:
    """The codec of an official state dict of either house, in evaluation mode."""
    codec, given = Mimi(config, name), _flat(as_weights(weights))
    style: Style = "moshi" if any(key.startswith("quantizer.rvq_first.") for key in given) else "huggingface"
    names, state = _names(codec, style), codec.state_dict()
    ours = taken(given, names, name)
    for key, tensor in ours.items():
        if key.endswith(".qkv.weight") and style == "moshi" and tensor.shape == state[key].shape:
            ours[key] = _halved(tensor, config.heads)
        elif key.endswith(".gain"):
            ours[key] = tensor[:, None]
    fill(codec, _learnt(ours, name), name, names)
    return ready(codec)


def to_mimi(codec: Mimi, style: Style = "huggingface") -> dict[str, Tensor]:
    """The state dict of a `.safetensors` file that `transformers` or `moshi` loads."""
    state, theirs = codec.state_dict(), dict[str, Tensor]()
    for key, name in _names(codec, style).items():
        tensor = state[key]
        if key.endswith(".qkv.weight") and style == "moshi":
            tensor = _paired(tensor, codec.config.heads)
        theirs |= given_back(tensor[:, 0] if key.endswith(".gain") else tensor, name)
    return theirs


def _table() -> Iterator[tuple[str, str, str]]:
    """Our keys as patterns, and what they are in `transformers` and in `moshi`; {c} is conv, or convtr."""
    end = r"(weight|bias)"
    yield rf"(\w+coder)\.seanet\.(\d+)\.{end}", r"\1.layers.\2.conv.\3", r"\1.model.\2.{c}.{c}.\3"
    unit = (r"\1.layers.\2.block.\3.conv.\4", r"\1.model.\2.block.\3.conv.conv.\4")
    yield rf"(\w+coder)\.seanet\.(\d+)\.body\.(\d+)\.{end}", *unit
    yield r"\w+coder\.(\w+)sample\.weight", r"\1sample.conv.weight", r"\1sample.{c}.{c}.{c}.weight"
    for ours, (hugging, moshi) in LAYER.items():
        theirs = (rf"\1_transformer.layers.\2.{hugging}", rf"\1_transformer.transformer.layers.\2.{moshi}")
        yield rf"(\w+coder)\.transformer\.(\d+)\.{ours}", *theirs
    for half, (word, place) in HALVES.items():
        for ours, (hugging, moshi) in QUANTIZER.items():
            theirs = (rf"quantizer.{word}_residual_vector_quantizer.{hugging}", rf"quantizer.{place}.{moshi}")
            yield rf"quantizer\.{half}\.{ours}", *theirs


TABLE = tuple(_table())


def _names(codec: Mimi, style: Style) -> dict[str, str]:
    """Each of our keys that has a place there, and theirs."""
    names, side = {}, 1 if style == "huggingface" else 2
    for key in codec.state_dict():
        row = next((row for row in TABLE if re.fullmatch(row[0], key)), None)
        if row is None:
            assert key.endswith((".entries", ".hits")), f"{key} has no place in the table"  # made of sums and counts
            continue
        layer = codec.get_submodule(key.rpartition(".")[0])
        kind = "convtr" if isinstance(layer, nn.ConvTranspose1d) else "conv"
        names[key] = re.sub(row[0], row[side], key).format(c=kind)
    return names


def _flat(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under the names that transformers' files have, also for weights taken from a model in memory."""
    nested = any(key.startswith(tuple(NESTED)) for key in weights)
    flat = {_unnested(key) if nested else key: tensor for key, tensor in weights.items()}
    if len(flat) != len(weights):
        raise DamagedError("these weights name a tensor twice; expected one state dict of one model")
    return flat


def _unnested(key: str) -> str:
    return next((flat + key.removeprefix(deep) for deep, flat in NESTED.items() if key.startswith(deep)), key)


def _learnt(ours: Mapping[str, Tensor], whose: str) -> dict[str, Tensor]:
    """With the entries of codebooks, which are made of sums and counts."""
    whole = dict(ours)
    for key in [key for key in ours if key.endswith(".sums")]:
        book = key.removesuffix("sums")
        counts = ours[f"{book}counts"]
        if counts.shape != ours[key].shape[:1]:
            raise DamagedError(
                f"these are not the weights of {whose}: {book}* should be sums and a count an entry, "
                f"got {list(counts.shape)} counts"
            )
        whole[f"{book}entries"] = ours[key] / counts.clamp(min=LEAST_USE)[:, None]
    return whole


def _halved(qkv: Tensor, heads: int) -> Tensor:
    """Rows of queries and keys so that features turned as a pair stand half a head apart, not side by side."""
    queries_keys, values = qkv.tensor_split([2 * len(qkv) // 3])
    pairs = queries_keys.reshape(2 * heads, -1, 2, qkv.shape[1])
    return torch.cat([pairs.transpose(1, 2).flatten(0, 2), values])


def _paired(qkv: Tensor, heads: int) -> Tensor:
    """The other way round."""
    queries_keys, values = qkv.tensor_split([2 * len(qkv) // 3])
    halves = queries_keys.reshape(2 * heads, 2, -1, qkv.shape[1])
    return torch.cat([halves.transpose(1, 2).flatten(0, 2), values])
