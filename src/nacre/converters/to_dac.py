"""Our DAC as the package's, or Hugging Face's `DacModel`: the way back of from_dac.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..codecs.dac import DAC
from .foreign import handed_back, names
from .from_dac import rename

_LEAVES = {"entries": "weight"}


def to_dac(codec: DAC) -> dict[str, Tensor]:
    """The state dict that the package `descript-audio-codec` loads strictly, weight norm in the old spelling."""
    return handed_back(codec, _names(codec, 0))


def to_hugging_face(codec: DAC) -> dict[str, Tensor]:
    """The state dict that `transformers` loads strictly: plain weights."""
    weights = handed_back(codec, _names(codec, 1))
    plain = {}
    for key, tensor in weights.items():
        module, _, leaf = key.rpartition(".")
        if leaf == "weight_v":
            size = tensor.norm(dim=tuple(range(1, tensor.ndim)), keepdim=True)
            plain[f"{module}.weight"] = tensor * (weights[f"{module}.weight_g"] / size)
        elif leaf != "weight_g":
            plain[key] = tensor
    return plain


def package_kwargs(codec: DAC) -> dict[str, Any]:
    """What the package's checkpoints say of a model beside its weights."""
    config = codec.config
    return {
        "encoder_dim": config.encoder_dim,
        "encoder_rates": list(config.strides),
        "latent_dim": config.latent,
        "decoder_dim": config.decoder_dim,
        "decoder_rates": list(reversed(config.strides)),
        "n_codebooks": config.levels,
        "codebook_size": config.codebook_size,
        "codebook_dim": config.code_dim,
        "quantizer_dropout": config.dropout_spared,
        "sample_rate": config.sample_rate,
    }


def _names(codec: DAC, house: int) -> dict[str, str]:
    with torch.device("meta"):
        return names(DAC(codec.config), {ours: both[house] for ours, both in rename(codec.config).items()}, _LEAVES)
