"""Mimi's weights, from Kyutai's `moshi` or from Hugging Face, into ours, and back again.

One table holds where each tensor stands in the three houses. Ours has queries, keys and values in one matrix, as Moshi
does, and turns features in halves, as Hugging Face does: Moshi turns neighbours, so its rows are sorted on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..codecs.mimi import PRESETS, Mimi, MimiConfig
from ..errors import DamagedError, InputError
from .keys import coding_keys, digest
from .reading import check_names, fill, read_weights

Style = Literal["huggingface", "moshi"]

LAYER = {  # inside a layer of a transformer: here, in `transformers`, in `moshi`; * is q, k and v, one tensor each
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
    if preset not in PRESETS:
        raise InputError(f"expected one of {', '.join(PRESETS)}, got {preset!r}")
    return from_mimi(read_weights(path, "Mimi"), PRESETS[preset], preset)


def from_mimi(weights: Mapping[str, Tensor], config: MimiConfig = PRESETS["mimi-24k"], name: str = "mimi-24k") -> Mimi:
    """The codec of an official state dict of either house, in evaluation mode."""
    codec, given = Mimi(config, name), _flat(weights)
    style: Style = "moshi" if any(key.startswith("quantizer.rvq_first.") for key in given) else "huggingface"
    names = _names(codec, style)
    check_names(given, {there for theirs in names.values() for there in theirs}, f"a {name}")
    ours = {}
    for key, theirs in names.items():
        tensor = torch.cat([given[there].detach().float() for there in theirs])
        if key.endswith(".qkv.weight") and style == "moshi":
            tensor = _halved(tensor, config.heads)
        ours[key] = tensor[:, None] if key.endswith(".gain") else tensor
    fill(codec, _learnt(ours), f"a {name}")
    codec.info = replace(codec.info, digest=digest({key: codec.state_dict()[key] for key in coding_keys(codec)}))
    return codec.eval()


def to_mimi(codec: Mimi, style: Style = "huggingface") -> dict[str, Tensor]:
    """The state dict of a `.safetensors` file that `transformers` or `moshi` loads."""
    state = codec.state_dict()
    theirs: dict[str, Tensor] = {}
    for key, names in _names(codec, style).items():
        tensor = state[key].detach().clone()
        if key.endswith(".qkv.weight") and style == "moshi":
            tensor = _paired(tensor, codec.config.heads)
        tensor = tensor[:, 0] if key.endswith(".gain") else tensor
        tensor = tensor.reshape(1).float() if key.endswith(".started") else tensor
        theirs |= {there: part.contiguous() for there, part in zip(names, tensor.chunk(len(names)), strict=True)}
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


def _names(codec: Mimi, style: Style) -> dict[str, list[str]]:
    """Each of our keys that has a place there, and the tensors that it is made of, one behind the other."""
    names, side = {}, 1 if style == "huggingface" else 2
    for key in codec.state_dict():
        row = next((row for row in TABLE if re.fullmatch(row[0], key)), None)
        if row is None:
            assert key.endswith((".entries", ".hits")), f"{key} has no place in the table"  # made of sums and counts
            continue
        layer = codec.get_submodule(key.rpartition(".")[0])
        there = re.sub(row[0], row[side], key).format(c="convtr" if isinstance(layer, nn.ConvTranspose1d) else "conv")
        names[key] = [there.replace("*", part) for part in ("qkv" if "*" in there else " ")]
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


def _learnt(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With what codebooks hold besides: entries, which are made of sums and counts, and hits, counted once there."""
    whole = dict(ours)
    for key in [key for key in ours if key.endswith(".sums")]:
        book = key.removesuffix("sums")
        counts, started = ours[f"{book}counts"], ours[f"{book}started"]
        if started.numel() != 1 or counts.shape != ours[key].shape[:1]:
            raise DamagedError(
                f"{book}* should be sums, a count an entry and one flag, got {list(counts.shape)} counts"
            )
        whole[f"{book}started"] = started.reshape(()) != 0
        whole[f"{book}hits"] = counts.clone()
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
