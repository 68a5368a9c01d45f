"""HILCodec's own checkpoints into ours, and back: one table, every key used once, every shape checked.

The checkpoint that its training writes is `{"model": state dict, ...}`; the state dict alone will do too.
"""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..codecs.hilcodec import PRESETS, HILCodec, HILCodecConfig, fourier
from ..errors import DamagedError, InputError, MissingError
from ..nn.weight_norm import NEW, OLD, normalise
from .keys import coding_keys, digest

# Where a layer stands here and there. {n} is the stage's place in the decoder's list.
PLACES = (
    (r"encoder\.enter", r"encoder.conv_pre.1.conv.conv"),
    (r"encoder\.stages\.(\d+)\.spectrum", r"encoder.spec_blocks.\1"),
    (r"encoder\.stages\.(\d+)\.spectrum\.mix", r"encoder.spec_blocks.\1.layer.conv.conv"),
    (r"encoder\.stages\.(\d+)\.units\.(\d+)", r"encoder.blocks.\1.\2"),
    (r"encoder\.stages\.(\d+)\.units\.(\d+)\.branch\.(\d+)", r"encoder.blocks.\1.\2.block.\3.conv.conv"),
    (r"encoder\.stages\.(\d+)\.down\.1", r"encoder.downsample.\1.2.conv.conv"),
    (r"encoder\.stages\.(\d+)\.down\.2", r"encoder.downsample.\1.3.conv.conv"),
    (r"encoder\.spectrum", r"encoder.spec_post"),
    (r"encoder\.spectrum\.mix", r"encoder.spec_post.layer.conv.conv"),
    (r"encoder\.leave\.(\d+)", r"encoder.conv_post.\1.conv.conv"),
    (r"decoder\.enter\.(\d+)", r"decoder.model.\1.conv.conv"),
    (r"quantizer\.levels\.(\d+)\.codebook", r"quantizer.layers.\1"),
)
TENSORS = {"entries": "embed", "sums": "ema_embed", "counts": "ema_num"}
BASIS, EXTRA, STARTED, HITS = "spec.weight", "_extra_state", "started", "hits"
CLOSE = 1e-3  # how far a stored Fourier basis may be from ours
SPELLING = dict(zip(NEW, OLD, strict=True))


def load_hilcodec(path: str | Path, preset: str = "hilcodec-speech", fused: bool = True) -> HILCodec:
    """The HILCodec of a `.pth` or `.safetensors` file; ready to code, or with `fused=False` to train on."""
    if preset not in PRESETS:
        raise InputError(f"expected one of {', '.join(PRESETS)}, got {preset!r}")
    return from_hilcodec(_read(Path(path)), PRESETS[preset], preset, fused)


def from_hilcodec(
    weights: Mapping[str, Any],
    config: HILCodecConfig = PRESETS["hilcodec-speech"],
    name: str = "hilcodec-speech",
    fused: bool = True,
) -> HILCodec:
    """The codec of an official state dict, in either spelling of weight norm, in evaluation mode.

    `fused` folds weight norm and constants into plain weights, which is faster.
    """
    codec, given = HILCodec(config, name), _plainly_named(weights)
    names, bases = rename(codec), _bases(codec)
    extra = {key for key in given if key.endswith(EXTRA)}
    if {*names.values(), *bases} != set(given) - extra:
        odd = sorted({*names.values(), *bases} ^ (set(given) - extra))
        raise DamagedError(f"these are not the weights of a {name}: {', '.join(odd[:5])} missing or too many")
    for key, basis in bases.items():
        if given[key].shape != basis.shape or (given[key].float() - basis).abs().max() > CLOSE:
            raise DamagedError(f"{key} should be a Fourier transform of {basis.shape[2]} points under a Hann window")
    ours = {here: given[there].detach().float() for here, there in names.items()}
    state = codec.state_dict()
    for key, tensor in ours.items():
        if tensor.shape != state[key].shape:
            raise DamagedError(f"{names[key]} should have shape {list(state[key].shape)}, got {list(tensor.shape)}")
    codec.load_state_dict(ours | _learnt(ours, given))
    codec.info = replace(codec.info, digest=digest({key: ours[key] for key in coding_keys(codec)}))
    return (codec.fold() if fused else codec).eval()


def to_hilcodec(codec: HILCodec) -> dict[str, Any]:
    """The state dict that HILCodec's model loads strictly, weight norm in the old spelling."""
    codec = normalise(copy.deepcopy(codec).unfold())
    state = codec.state_dict()
    theirs: dict[str, Any] = {there: state[here].detach().clone() for here, there in rename(codec).items()}
    theirs |= _bases(codec)
    for k in range(codec.config.levels):
        started = bool(state[f"quantizer.levels.{k}.codebook.{STARTED}"])
        theirs[f"quantizer.layers.{k}.{EXTRA}"] = {"initted": started}
    return theirs


def rename(codec: HILCodec) -> dict[str, str]:
    """Each of our keys, and theirs, with weight norm in the old spelling; `codec` is not folded."""
    names = {}
    for key in codec.state_dict():
        path, leaf = _split(key)
        if leaf in (STARTED, HITS):
            continue
        if leaf == "gain":
            leaf = "scale_param" if path.endswith("spectrum") else "res_scale_param"
        names[key] = f"{_place(path, codec.config)}.{SPELLING.get(leaf) or TENSORS.get(leaf, leaf)}"
    return names


def _place(path: str, config: HILCodecConfig) -> str:
    size, last = 4 + config.decoder_units, 4 + (4 + config.decoder_units) * len(config.strides)
    if path == "decoder.leave.1":
        return f"decoder.model.{last}.conv.conv"
    in_stage = re.fullmatch(r"decoder\.stages\.(\d+)\.(up|units)\.(\d+)(\.branch\.(\d+))?", path)
    if in_stage is None:
        row = next(row for row in PLACES if re.fullmatch(row[0], path))
        return re.sub(row[0], row[1], path)
    stage, part, place, branch, layer = in_stage.groups()
    first = 2 + size * int(stage)  # of the stage in their list: scale, ELU, transposed, pointwise, units
    if part == "up":
        kind = "convtr" if place == "1" else "conv"
        return f"decoder.model.{first + 1 + int(place)}.{kind}.{kind}"
    unit = f"decoder.model.{first + 4 + int(place)}"
    return f"{unit}.block.{layer}.conv.conv" if branch else unit


def _bases(codec: HILCodec) -> dict[str, Tensor]:
    """The Fourier bases that their state dict holds."""
    config, count = codec.config, len(codec.config.strides)
    places = [*(f"encoder.spec_blocks.{i}" for i in range(count)), "encoder.spec_post"]
    return {f"{place}.{BASIS}": fourier(config.n_fft << i) for i, place in enumerate(places)}


def _learnt(ours: Mapping[str, Tensor], given: Mapping[str, Any]) -> dict[str, Tensor]:
    """What our codebooks remember and theirs do not, or not as a tensor."""
    more = {}
    for key in ours:
        path, _, leaf = key.rpartition(".")
        if leaf == "counts":
            held = given.get(f"quantizer.layers.{path.split('.')[2]}.{EXTRA}", {"initted": True})
            more[f"{path}.{HITS}"] = ours[key].clone()
            more[f"{path}.{STARTED}"] = torch.tensor(bool(held["initted"]))
    return more


def _split(key: str) -> tuple[str, str]:
    path, mark, leaf = key.rpartition(".parametrizations.")
    if mark:
        return path, mark[1:] + leaf
    path, _, leaf = key.rpartition(".")
    return path, leaf


def _plainly_named(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Without the prefix that parallel training leaves, with weight norm in the old spelling."""
    plain: dict[str, Any] = {}
    for key, tensor in weights.items():
        path, leaf = _split(key.removeprefix("module."))
        plain[f"{path}.{SPELLING.get(leaf, leaf)}"] = tensor
    if len(plain) != len(weights):
        raise DamagedError("these weights name a tensor twice; expected one state dict of one model")
    for key, value in plain.items():
        if not isinstance(value, dict if key.endswith(EXTRA) else Tensor):
            raise DamagedError(f"{key} should be a tensor, got {type(value).__name__}")
    return plain


def _read(path: Path) -> dict[str, Any]:
    """The state dict in a file; a pickled one may hold tensors and nothing that runs."""
    if not path.is_file():
        raise MissingError(f"no file {path}; expected a .pth or .safetensors of HILCodec's weights")
    try:
        held = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        word = str(error).partition("\n")[0]
        raise DamagedError(f"{path} is no file of plain weights, or damaged: {word}") from error
    weights = held.get("model", held) if isinstance(held, dict) else held
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise DamagedError(f"{path} should hold a table of tensors by name; expected a checkpoint of HILCodec's")
    return weights
