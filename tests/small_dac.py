"""DAC's own checkpoint file, of the published shape but narrow, with random weights: written without the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from nacre.codecs.dac import DAC, DACConfig
from nacre.converters.from_dac import rename
from nacre.converters.keys import coding_keys
from nacre.nn.weight_norm import NEW, OLD, fuse

TINY = DACConfig(44_100, (2, 2), 4, 16, 16, 3, 16, 4)
KWARGS: dict[str, Any] = {
    "sample_rate": 44_100,
    "encoder_rates": [2, 2],
    "decoder_rates": [2, 2],
    "encoder_dim": 4,
    "decoder_dim": 16,
    "latent_dim": 16,
    "n_codebooks": 3,
    "codebook_size": 16,
    "codebook_dim": 4,
}


def save_tiny(path: Path, seed: int = 0) -> Path:
    """Write `path` as the package writes it."""
    torch.manual_seed(seed)
    codec, table, weights = DAC(TINY), rename(TINY), {}
    for key, value in codec.state_dict().items():
        if key in coding_keys(codec):
            module = next(m for m in table if key.startswith(m + "."))
            leaf = key.removeprefix(module + ".")
            leaf = dict(zip(NEW, OLD, strict=True)).get(leaf, leaf).replace("entries", "weight")
            weights[f"{table[module][0]}.{leaf}"] = torch.randn_like(value) * 0.3
    torch.save({"state_dict": weights, "metadata": {"kwargs": KWARGS}}, path)
    return path


def save_folder(folder: Path) -> Path:
    """Write `folder` as Hugging Face's `DacModel` is kept."""
    torch.manual_seed(0)
    codec, table, weights = fuse(DAC(TINY)), rename(TINY), {}
    for key in coding_keys(codec):
        module, _, leaf = key.rpartition(".")
        weights[f"{table[module][1]}.{leaf.replace('entries', 'weight')}"] = codec.state_dict()[key].contiguous()
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    sizes = {"encoder_hidden_size": 4, "decoder_hidden_size": 16, "hidden_size": 16}
    rates = {"sampling_rate": 44_100, "downsampling_ratios": [2, 2], "upsampling_ratios": [2, 2]}
    books = {"n_codebooks": 3, "codebook_size": 16, "codebook_dim": 4}
    (folder / "config.json").write_text(json.dumps({"model_type": "dac", **sizes, **rates, **books}))
    return folder
