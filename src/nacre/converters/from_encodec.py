"""EnCodec's official weights, from the package or from Hugging Face, into ours, and back again.

One table holds where each layer stands in the three houses; it is read in both directions. Every tensor is used once,
and none may be missing, left over or of another shape. audiocraft spells as the package does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..codecs.encodec import PRESETS, EnCodec, EnCodecConfig
from ..errors import DamagedError
from .state_dicts import as_weights, check_preset, handed_back, loaded, named, placed, read_weights, unfused

Style = Literal["encodec", "huggingface"]

# Where a layer stands: here, in the package `encodec`, in `transformers`. {c} is conv, or convtr when transposed.
PLACES = (
    (r"(\w+coder)\.(\d+)", r"\1.model.\2.{c}.{c}", r"\1.layers.\2.conv"),
    (r"(\w+coder)\.(\d+)\.norm", r"\1.model.\2.{c}.norm", r"\1.layers.\2.norm"),
    (r"(\w+coder)\.(\d+)\.body\.(\d+)", r"\1.model.\2.block.\3.{c}.{c}", r"\1.layers.\2.block.\3.conv"),
    (r"(\w+coder)\.(\d+)\.body\.(\d+)\.norm", r"\1.model.\2.block.\3.{c}.norm", r"\1.layers.\2.block.\3.norm"),
    (r"(\w+coder)\.(\d+)\.shortcut\.0", r"\1.model.\2.shortcut.{c}.{c}", r"\1.layers.\2.shortcut.conv"),
    (r"(\w+coder)\.(\d+)\.shortcut\.0\.norm", r"\1.model.\2.shortcut.{c}.norm", r"\1.layers.\2.shortcut.norm"),
    (r"(\w+coder)\.(\d+)\.lstm", r"\1.model.\2.lstm", r"\1.layers.\2.lstm"),
    (r"quantizer\.levels\.(\d+)\.codebook", r"quantizer.vq.layers.\1._codebook", r"quantizer.layers.\1.codebook"),
)
CODEBOOK = {"entries": "embed", "sums": "embed_avg", "counts": "cluster_size", "started": "inited"}
STATE = "best_state"  # of a checkpoint that audiocraft exported


def load_encodec(path: str | Path, preset: str | None = None) -> EnCodec:
    """The EnCodec of a `.th`, `.pth`, `.bin` or `.safetensors` file, or of a Hugging Face folder; ready to code.

    Without `preset` the weights say which of the models they are.
    """
    if preset is not None:
        check_preset(preset, PRESETS)
    weights = read_weights(path, "EnCodec", STATE)
    name = preset or guess(weights)
    return from_encodec(weights, PRESETS[name], name)


def guess(weights: Mapping[str, Tensor]) -> str:
    """The preset whose first layer the weights have; of the two at 32 kHz, the one of the house that spells so."""
    given = as_weights(weights)
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
    codec, given = EnCodec(config, name), as_weights(weights)
    return loaded(codec, given, _names(codec, _style(given)), fused)


def to_encodec(codec: EnCodec, style: Style = "encodec") -> dict[str, Tensor]:
    """The state dict that the package `encodec` (old weight norm), or `transformers` (new), loads strictly."""
    return handed_back(codec, _names(unfused(codec), style), "old" if style == "encodec" else "new")


def hugging_face_config(codec: EnCodec) -> dict[str, Any]:
    """What `transformers` keeps in config.json beside the weights."""
    config, seanet = codec.config, codec.config.seanet
    level = codec.info.bitrate(1) / 1000
    counts = config.dropout or (config.levels,)
    return {
        "model_type": "encodec",
        "architectures": ["EncodecModel"],
        "sampling_rate": config.sample_rate,
        "audio_channels": seanet.channels,
        "target_bandwidths": [round(level * count, 3) for count in counts],
        "normalize": config.segment > 0,
        "chunk_length_s": config.segment / config.sample_rate if config.segment else None,
        "overlap": config.overlap / config.segment if config.segment else None,
        "hidden_size": seanet.dim,
        "num_filters": seanet.filters,
        "upsampling_ratios": list(reversed(seanet.strides)),
        "norm_type": "time_group_norm" if seanet.norm == "time-group" else "weight_norm",
        "kernel_size": seanet.kernel,
        "last_kernel_size": seanet.last_kernel,
        "residual_kernel_size": seanet.unit_kernel,
        "use_causal_conv": seanet.causal,
        "pad_mode": "reflect" if seanet.pad == "reflect" else "constant",
        "compress": seanet.compress,
        "num_lstm_layers": seanet.lstm,
        "use_conv_shortcut": not seanet.identity_skip,
        "codebook_size": config.codebook_size,
        "codebook_dim": seanet.dim,
    }


def places(style: Style) -> list[tuple[str, str]]:
    """Our modules as patterns, and theirs, of which one house."""
    return [(row[0], row[1 if style == "encodec" else 2]) for row in PLACES]


def _names(codec: EnCodec, style: Style) -> dict[str, str]:
    return named(codec, placed(codec, places(style)), CODEBOOK)


def _style(given: Mapping[str, Tensor]) -> Style:
    return "huggingface" if any(".layers." in key and "coder." in key for key in given) else "encodec"
