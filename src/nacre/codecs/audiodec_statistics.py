"""What AudioDec's vocoders take off the latents: mean and scale of each feature over a data set, and whose they are.

The latents of one encoder, scaled by the statistics of another, sound broken, and nothing else would tell. So
statistics name the encoder and codebooks they come from, and a codec refuses those of others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..atomic import WholeFile
from ..contract import Wave
from ..errors import DamagedError, InputError, MissingError
from .audiodec import AudioDec
from .audiodec_vocoder import Generator

ANALYSER_KEY = "nacre.analyser"  # where the file's metadata says whose statistics these are
LEAST_SCALE = 1e-7  # a feature that varies less does not vary, and is left at its size


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and scale of quantized latents, feature by feature."""

    mean: NDArray[np.float32]  # [D]
    scale: NDArray[np.float32]  # [D], standard deviations
    analyser: str = ""  # digest of the encoder and codebooks, as `analyser_of` gives it; "" where a file does not say

    def save(self, path: str | Path) -> None:
        """Write a `.safetensors` file; a name that ends with `.npy` gives AudioDec's own, which cannot say whose."""
        with WholeFile(path, overwrite=True) as file:
            if Path(path).suffix == ".npy":
                np.save(file, np.stack([self.mean, self.scale]), allow_pickle=False)
            else:
                file.write(save({"mean": self.mean, "scale": self.scale}, {ANALYSER_KEY: self.analyser}))

    @staticmethod
    def load(path: str | Path) -> Statistics:
        """What `save` wrote, or a `.npy` of AudioDec's `codecStatistic.py`."""
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"no file {path}; expected statistics, as .npy of AudioDec's or as .safetensors of ours")
        try:
            mean, scale, analyser = _theirs(path) if path.suffix == ".npy" else _ours(path)
        except (SafetensorError, ValueError, KeyError, OSError, EOFError) as error:
            raise DamagedError(f"{path} holds no statistics, or is damaged: {error}") from error
        if mean.ndim != 1 or mean.shape != scale.shape or not (np.isfinite(mean).all() and (scale > 0).all()):
            raise DamagedError(f"{path} should hold one mean and one positive scale a feature")
        return Statistics(mean.astype(np.float32), scale.astype(np.float32), analyser)


def measure(codec: AudioDec, waves: Iterable[Wave]) -> Statistics:
    """Statistics of what encoder and codebooks of `codec` make of `waves`, each `[B, 1, T]`, in one pass.

    As scikit-learn's StandardScaler has them, which AudioDec uses: deviations over all frames alike.
    """
    count, mean, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for wave in waves:
        z = _latents(codec, wave)
        if not len(z):
            continue
        here = z.mean(0)
        gap, total = here - mean, count + len(z)
        squares = squares + (z - here).square().sum(0) + gap.square() * (count * len(z) / total)
        mean, count = mean + gap * (len(z) / total), total
    if not count:
        raise InputError("expected at least one frame of sound to measure latents on, got none")
    scale = (squares / count).sqrt()
    scale = torch.where(scale < LEAST_SCALE, torch.ones_like(scale), scale)
    return Statistics(mean.float().numpy(), scale.float().numpy(), analyser_of(codec))


def standardise(codec: AudioDec, statistics: Statistics) -> None:
    """Give `statistics` to the vocoder of `codec`, with whose weights they are kept from then on."""
    if not isinstance(codec.decoder, Generator):
        raise InputError(f"{codec.info.name} has no vocoder to give statistics to; only v0, v1, v2 and v3 take any")
    standard = codec.decoder.standard
    if statistics.mean.shape != standard.mean.shape:
        raise InputError(f"expected statistics of {len(standard.mean)} features, got {list(statistics.mean.shape)}")
    if statistics.analyser and statistics.analyser != analyser_of(codec):
        raise InputError(
            f"these statistics are of the encoder and codebooks {statistics.analyser}, this codec has "
            f"{analyser_of(codec)}; measure them anew"
        )
    standard.mean.copy_(torch.from_numpy(statistics.mean))
    standard.scale.copy_(torch.from_numpy(statistics.scale))


def analyser_of(codec: AudioDec) -> str:
    """First 16 hex digits of the SHA-256 over what makes latents of waves; the same with weight norm fused or apart."""
    total = hashlib.sha256()
    for part in (codec.encoder, codec.quantizer):
        for path, module in part.named_modules():
            for leaf in ("weight", "bias", "entries"):
                tensor = getattr(module, leaf, None)
                if isinstance(tensor, torch.Tensor):
                    total.update(f"{path}.{leaf}".encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


@torch.inference_mode()
def _latents(codec: AudioDec, wave: Wave) -> torch.Tensor:
    """Quantized latents of all items and frames, `[B * F, D]`."""
    device = next(codec.quantizer.buffers()).device
    levels = [torch.from_numpy(level).to(device) for level in codec.encode(wave).levels]
    return codec.quantizer.decode(levels).transpose(1, 2).flatten(0, 1).double().cpu()


def _theirs(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    mean, scale = np.load(path, allow_pickle=False)
    return mean, scale, ""


def _ours(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor("mean"), file.get_tensor("scale"), (file.metadata() or {}).get(ANALYSER_KEY, "")
