"""EnCodec's official weights, from the package or from Hugging Face, into ours, and back again.

One table holds where each layer stands in the three houses; it is read in both directions. Every tensor is used once,
and none may be missing, left over or of another shape. audiocraft spells as the package does.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..codecs.encodec import PRESETS, EnCodec, EnCodecConfig
from ..errors import DamagedError, InputError, MissingError
from ..nn.weight_norm import NEW, OLD, fuse, size_of
from .keys import coding_keys, digest

Style = Literal["encodec", "huggingface"]

# Where a layer stands: here, in the package `encodec`, in `transformers`. {c} is conv, or convtr when transposed.
PLACES = (
    (r"(\w+coder)\.(\d+)", r"\1.model.\2.{c}.{c}", r"\1.layers.\2.conv"),
    (r"(\w+coder)\.(\d+)\.body\.(\d+)", r"\1.model.\2.block.\3.{c}.{c}", r"\1.layers.\2.block.\3.conv"),
    (r"(\w+coder)\.(\d+)\.shortcut\.0", r"\1.model.\2.shortcut.{c}.{c}", r"\1.layers.\2.shortcut.conv"),
    (r"(\w+coder)\.(\d+)\.lstm", r"\1.model.\2.lstm", r"\1.layers.\2.lstm"),
    (r"quantizer\.levels\.(\d+)\.codebook", r"quantizer.vq.layers.\1._codebook", r"quantizer.layers.\1.codebook"),
)
TENSORS = {"entries": "embed", "sums": "embed_avg", "counts": "cluster_size", "started": "inited"}
HITS = "hits"  # of a codebook; EnCodec counts hits once, in `cluster_size`
STATE = "best_state"  # of a checkpoint that audiocraft exported
FILES = ("model.safetensors", "pytorch_model.bin")  # in a folder from Hugging Face
SPELLING = dict(zip(NEW, OLD, strict=True))


def load_encodec(path: str | Path, preset: str | None = None) -> EnCodec:
    """The EnCodec of a `.th`, `.pth`, `.bin` or `.safetensors` file, or of a Hugging Face folder; ready to code.

    Without `preset` the weights say which of the models they are.
    """
    if preset is not None and preset not in PRESETS:
        raise InputError(f"expected one of {', '.join(PRESETS)}, got {preset!r}")
    weights = read_weights(path)
    name = preset or guess(weights)
    return from_encodec(weights, PRESETS[name], name)


def guess(weights: Mapping[str, Tensor]) -> str:
    """The preset whose first layer the weights have; of the two at 32 kHz, the one of the house that spells so."""
    given = _plainly_named(weights)
    style = _style(given)
    first = "encoder.layers.0.conv" if style == "huggingface" else "encoder.model.0.conv.conv"
    weight = next((given[key] for leaf in ("weight_v", "weight") if (key := f"{first}.{leaf}") in given), None)
    shape = () if weight is None else tuple(weight.shape[:2])
    names = [name for name, each in PRESETS.items() if (each.seanet.filters, each.seanet.channels) == shape]
    if not names:
        raise DamagedError(f"these are no weights of EnCodec: expected {first}.weight of {', '.join(PRESETS)}")
    return names[-1 if style == "huggingface" else 0]


def from_encodec(
    weights: Mapping[str, Tensor],
    config: EnCodecConfig = PRESETS["encodec-24k"],
    name: str = "encodec-24k",
    fused: bool = True,
) -> EnCodec:
    """The codec of an official state dict, of either house and either spelling of weight norm, in evaluation mode.

    `fused=False` keeps the size and direction of each weight apart, for training on.
    """
    codec = EnCodec(config, name)
    given = _plainly_named(weights)
    names = _names(codec, _style(given))
    if set(names.values()) != set(given):
        odd = sorted(set(names.values()) ^ set(given))
        raise DamagedError(f"these are not the weights of an {name}: {', '.join(odd[:5])} missing or too many")
    ours = {here: given[there].detach().float() for here, there in names.items()}
    for key in [key for key in ours if key.endswith(".started")]:
        if ours[key].numel() != 1:
            raise DamagedError(f"{names[key]} should be one number, got shape {list(ours[key].shape)}")
        ours[key] = ours[key].reshape(()) != 0
        counts = key.replace("started", "counts")
        ours[key.replace("started", HITS)] = ours[counts].clone()
    try:
        codec.load_state_dict(ours)
    except RuntimeError as error:  # torch's word for tensors of another shape
        raise DamagedError(f"these are not the weights of an {name}: {error}") from error
    codec.info = replace(codec.info, digest=digest({key: ours[key] for key in coding_keys(codec)}))
    return (fuse(codec) if fused else codec).eval()


def to_encodec(codec: EnCodec, style: Style = "encodec") -> dict[str, Tensor]:
    """The state dict that the package `encodec` (old weight norm), or `transformers` (new), loads strictly."""
    with torch.device("meta"):
        names = _names(EnCodec(codec.config), style)
    state = codec.state_dict()
    for key in [key for key in names if key not in state]:  # fused: all of the size there is, and the direction
        path, _, _ = key.partition(".parametrizations.")
        weight = state[f"{path}.weight"]
        state[key] = size_of(weight) if key.endswith(NEW[0]) else weight
    theirs = {there: state[here].detach().clone() for here, there in names.items()}
    new = {old: new for new, old in SPELLING.items()} if style == "huggingface" else {}
    return {
        _ended(key, new): tensor.reshape(1).float() if key.endswith("inited") else tensor
        for key, tensor in theirs.items()
    }


def _names(codec: EnCodec, style: Style) -> dict[str, str]:
    """Each of our keys, and theirs, with weight norm in the old spelling; `codec` is not fused."""
    names = {}
    for key in codec.state_dict():
        path, leaf = _split(key)
        if leaf != HITS:
            there = _place(codec, path, style)
            names[key] = f"{there}.{SPELLING.get(leaf) or TENSORS.get(leaf, leaf)}"
    return names


def _place(codec: EnCodec, path: str, style: Style) -> str:
    """Where the layer at `path` stands with them; a norm stands beside its convolution, not in it."""
    layer, norm, _ = path.partition(".norm")
    kind = "convtr" if isinstance(codec.get_submodule(layer), nn.ConvTranspose1d) else "conv"
    row = next(row for row in PLACES if re.fullmatch(row[0], layer))
    there = re.sub(row[0], row[1 if style == "encodec" else 2], layer).format(c=kind)
    return there.rpartition(".")[0] + norm if norm else there


def _style(given: Mapping[str, Tensor]) -> Style:
    return "huggingface" if any(".layers." in key and "coder." in key for key in given) else "encodec"


def _split(key: str) -> tuple[str, str]:
    path, mark, leaf = key.rpartition(".parametrizations.")
    if not mark:
        path, _, leaf = key.rpartition(".")
        return path, leaf
    return path, mark[1:] + leaf


def _plainly_named(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that parallel training leaves, and with weight norm in the old spelling."""
    plain = {_ended(key.removeprefix("module."), SPELLING): tensor for key, tensor in weights.items()}
    if len(plain) != len(weights):
        raise DamagedError("these weights name a tensor twice; expected one state dict of one model")
    return plain


def _ended(key: str, endings: Mapping[str, str]) -> str:
    old = next((old for old in endings if key.endswith(f".{old}")), None)
    return key if old is None else key.removesuffix(old) + endings[old]


def _find(path: Path) -> Path:
    if not path.exists():
        raise MissingError(f"{path} is not there; expected a file of EnCodec's weights or a folder with {FILES[0]}")
    found = next((path / name for name in FILES if (path / name).is_file()), None) if path.is_dir() else path
    if found is None:
        raise MissingError(f"no {' or '.join(FILES)} in {path}; expected a folder as Hugging Face keeps it")
    return found


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file or folder; a pickled one may hold tensors and nothing that runs."""
    path = _find(Path(path))
    try:
        held = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        word = str(error).partition("\n")[0]
        raise DamagedError(f"{path} is no file of plain weights, or damaged: {word}") from error
    held = held.get(STATE, held) if isinstance(held, dict) else held
    if not isinstance(held, dict) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise DamagedError(f"{path} should hold a table of tensors by name; expected EnCodec's state dict alone")
    return held
