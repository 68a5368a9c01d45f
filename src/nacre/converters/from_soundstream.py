"""AcademiCodec's SoundStream and EnCodec checkpoints, one network under two names, into ours, and back again.

Its training leaves `best_N.pth`, the state dict of a parallel model, and `latest.pth`, which holds that under
"soundstream" beside the discriminators and optimizers. Neither says how many levels or which strides; the levels are
counted, the strides are the preset's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..codecs.soundstream import PRESETS, SoundStream, SoundStreamConfig
from ..errors import DamagedError, InputError
from ..nn.weight_norm import fuse
from ..quantizers.codebook import Codebook
from .foreign import as_weights, fill, handed_back, names, read_checkpoint
from .keys import coding_keys, digest

DEFAULT = "soundstream-24k-240d"
PLACES = (  # modules here, and there; {c} is conv, or convtr when transposed
    (r"(\w+coder)\.(\d+)", r"\1.model.\2.{c}.{c}"),
    (r"(\w+coder)\.(\d+)\.body\.(\d+)", r"\1.model.\2.block.\3.{c}.{c}"),
    (r"(\w+coder)\.(\d+)\.shortcut\.0", r"\1.model.\2.shortcut.{c}.{c}"),
    (r"(\w+coder)\.(\d+)\.lstm", r"\1.model.\2.lstm"),
    (r"quantizer\.levels\.(\d+)\.codebook", r"quantizer.vq.layers.\1._codebook"),
)
LEAVES = {"entries": "embed", "sums": "embed_avg", "counts": "cluster_size", "started": "inited"}
INITED = ".inited"  # one number there, a truth here


def load_soundstream(path: str | Path, preset: str = DEFAULT, fused: bool = True) -> SoundStream:
    """The codec in a checkpoint of AcademiCodec's "SoundStream" or "EnCodec", in evaluation mode.

    `fused` makes weight norm plain weights, which is faster; False keeps it apart for training on.
    """
    path, ours = Path(path), [name for name, config in PRESETS.items() if not config.at_once]
    if preset not in ours:
        raise InputError(f"expected one of AcademiCodec's models {', '.join(ours)}, got {preset!r}")
    held = read_checkpoint(path)
    if isinstance(held, dict) and isinstance(held.get("soundstream"), dict):
        held = held["soundstream"]
    return from_soundstream(as_weights(held, path), PRESETS[preset], preset, path, fused)


def from_soundstream(
    weights: Mapping[str, Tensor],
    config: SoundStreamConfig = PRESETS[DEFAULT],
    name: str = DEFAULT,
    path: Path = Path("this state dict"),
    fused: bool = True,
) -> SoundStream:
    """The codec of a state dict without prefixes, with as many levels as there are codebooks."""
    counted = len({key for key in weights if re.fullmatch(r"quantizer\.vq\.layers\.\d+\._codebook\.embed", key)})
    if not counted:
        raise DamagedError(f"{path} holds no codebooks; expected the weights of AcademiCodec's SoundStream or EnCodec")
    codec = SoundStream(_with_levels(config, counted), name)
    # theirs is one number in a list
    given = {key: tensor.reshape(()) != 0 if _is_flag(key, tensor) else tensor for key, tensor in weights.items()}
    fill(codec, given, names(codec, _table(codec), LEAVES), path)
    for book in codec.modules():
        if isinstance(book, Codebook):
            book.hits.copy_(book.counts)  # theirs are counted once, for learning and for the figures
    state = codec.state_dict()
    codec.info = replace(codec.info, digest=digest({key: state[key] for key in coding_keys(codec)}))
    return (fuse(codec) if fused else codec).eval()


def to_soundstream(codec: SoundStream) -> dict[str, Tensor]:
    """The state dict as AcademiCodec saves and expects it: its loader cuts `module.` off every name."""
    if codec.config.at_once:
        raise InputError(f"{codec.info.name} is the paper's SoundStream, which AcademiCodec's network cannot hold")
    with torch.device("meta"):
        plain = SoundStream(codec.config)
    theirs = handed_back(codec, names(plain, _table(plain), LEAVES))
    return {
        f"module.{key}": tensor.reshape(1).float() if key.endswith(INITED) else tensor for key, tensor in theirs.items()
    }


def _is_flag(key: str, tensor: Tensor) -> bool:
    return key.endswith(INITED) and tensor.numel() == 1


def _with_levels(config: SoundStreamConfig, levels: int) -> SoundStreamConfig:
    dropout = tuple(count for count in config.dropout if count < levels)
    return replace(config, levels=levels, dropout=(*dropout, levels))


def _table(codec: SoundStream) -> dict[str, str]:
    """Our modules that hold weights, and theirs."""
    table = {}
    for module, layer in codec.named_modules():
        row = next((row for row in PLACES if re.fullmatch(row[0], module)), None)
        if row is not None:
            kind = "convtr" if isinstance(layer, nn.ConvTranspose1d) else "conv"
            table[module] = re.sub(row[0], row[1], module).format(c=kind)
    return table
