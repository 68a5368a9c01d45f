"""The official weights of EnCodec's language models into ours, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..codecs.encodec_lm import PRESETS, EnCodecLM, EnCodecLMConfig
from .state_dicts import check_preset, fill, handed_back, read_weights, taken

NAMES = (  # here, there; the first that a key begins with or holds
    ("embeddings.", "emb."),
    ("heads.", "linears."),
    ("attention_norm.", "norm1."),
    ("attention.", "self_attn."),
    ("up.", "linear1."),
    ("down.", "linear2."),
    ("norm.", "norm2."),
)


def load_encodec_lm(path: str | Path, preset: str = "encodec-lm-24k") -> EnCodecLM:
    """The language model in a `.th` of the package's, ready to pack and unpack `.ecdc` files."""
    check_preset(preset, PRESETS)
    return from_encodec_lm(read_weights(path, "EnCodec's language model"), PRESETS[preset])


def from_encodec_lm(weights: Mapping[str, Tensor], config: EnCodecLMConfig = PRESETS["encodec-lm-24k"]) -> EnCodecLM:
    """The language model of an official state dict, in evaluation mode."""
    model, whose = EnCodecLM(config), "EnCodec's language model"
    names = _names(model)
    fill(model, taken(weights, names, whose), whose, names)
    return model.eval()


def to_encodec_lm(model: EnCodecLM) -> dict[str, Tensor]:
    """The state dict that the package's `LMModel` loads strictly."""
    return handed_back(model, _names(model))


def _names(model: EnCodecLM) -> dict[str, str]:
    return {key: _there(key) for key in model.state_dict()}


def _there(key: str) -> str:
    if key.startswith("norm."):
        return f"transformer.norm_in.{key.removeprefix('norm.')}"
    inside = "transformer." if key.startswith("layers.") else ""
    layer, here = ".".join(key.split(".")[:2]) + ".", ".".join(key.split(".")[2:])
    if not inside:
        layer, here = "", key
    ours, theirs = next(pair for pair in NAMES if here.startswith(pair[0]))
    return f"{inside}{layer}{theirs}{here.removeprefix(ours)}"
