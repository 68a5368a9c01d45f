"""Makes the golden files beside it with `descript-audio-codec` 1.0.0: what small DACs say and sound like.

Set up as in `tests/golden/legacy/make.py`, then: python tests/golden/dac/make.py

The weights are not kept. They come from `weight_of`, integers only, which any machine and both implementations repeat.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SHAPES: dict[str, dict[str, Any]] = {
    "odd": {"sample_rate": 16_000, "encoder_rates": [2, 4, 5, 8], "n_codebooks": 4},
    "even": {"sample_rate": 44_100, "encoder_rates": [2, 4, 8, 8], "n_codebooks": 3, "latent_dim": 32},
}
LENGTHS = {"odd": (1, 319, 3210), "even": (512, 4000)}


def kwargs_of(name: str) -> dict[str, Any]:
    """Arguments of the package's DAC."""
    shape = SHAPES[name]
    rates = {"decoder_rates": shape["encoder_rates"][::-1]}
    return {"encoder_dim": 4, "decoder_dim": 64, "codebook_size": 64, "codebook_dim": 8, **shape, **rates}


def weight_of(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A weight for the package's `key` that depends on nothing but its name and shape."""
    seed = sum((i + 1) * ord(letter) for i, letter in enumerate(key))
    noise = np.random.Generator(np.random.PCG64(seed)).integers(-1000, 1001, shape) / 1000
    if key.endswith(("alpha", "weight_g")):
        noise = (0.8 if key.endswith("g") else 1.2) * (1 + noise / 3)  # a scale of 0 or 1 would leave much untested
    return (noise * (0.02 if key.endswith("bias") else 1)).astype(np.float32)


def wave_of(length: int) -> np.ndarray:
    """Noise `[2, 1, length]`."""
    noise = np.random.Generator(np.random.PCG64(length)).integers(-1000, 1001, (2, 1, length))
    return (noise / 4000).astype(np.float32)


def official(name: str) -> Any:
    """The package's model with these weights."""
    import torch
    from dac import DAC

    model = DAC(**kwargs_of(name)).eval()
    state = model.state_dict()
    model.load_state_dict({key: torch.from_numpy(weight_of(key, tuple(v.shape))) for key, v in state.items()})
    return model


def says(model: Any, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The package's codes `[B, K, F]` of `wave` and the sound of them."""
    import torch

    with torch.no_grad():
        padded = model.preprocess(torch.from_numpy(wave), model.sample_rate)
        codes = model.encode(padded)[1]
        return codes.numpy(), model.decode(model.quantizer.from_codes(codes)[0]).numpy()


def main() -> None:
    """Make them all."""
    sys.path.insert(0, str(HERE.parent))
    from legacy.make import stand_in_for_torchaudio

    stand_in_for_torchaudio()
    for name in SHAPES:
        model, held = official(name), {}
        for length in LENGTHS[name]:
            codes, sound = says(model, wave_of(length))
            held[f"codes{length}"] = codes.astype(np.uint8)
            held[f"sound{length}"] = sound[:1, :, -400:]  # the end, where padding shows
        np.savez_compressed(HERE / f"{name}.npz", **held)


if __name__ == "__main__":
    main()
