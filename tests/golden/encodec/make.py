"""Makes small.npz beside it: codes and sound of the package `encodec` 0.1.1, with made-up weights.

    pip install --no-deps encodec einops
    pip install scipy torch==2.13.0
    python tests/golden/encodec/make.py

The model is of the released shape (causal, weight norm, four strides, an LSTM) but narrow, so that the file is small;
its weights are drawn by `weights()` from names and shapes, so they need not be stored.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DIM, FILTERS, LEVELS, SIZE = 8, 4, 4, 16
LENGTHS = (1, 321, 2593)  # samples: one, a frame and one, and more than the start that is mirrored


def weights(shapes: dict[str, list[int]]):
    """Numbers for every tensor of an official state dict, the same on every machine."""
    import torch

    draw, made = np.random.RandomState(0), {}  # whose numbers never change, unlike default_rng's
    for name in sorted(shapes):
        values = draw.standard_normal(shapes[name] or 1)
        if name.endswith("weight_g"):
            values = 0.8 + 0.8 * np.abs(values)
        elif name.endswith("cluster_size"):
            values = np.abs(values)
        elif name.endswith("inited"):
            values = np.ones(1)
        elif ".lstm." in name or name.endswith("bias"):
            values = (0.2 if ".lstm." in name else 0.02) * values
        elif name.endswith(".embed"):
            values = 4 * values * 0.7 ** int(name.split(".")[3])
        made[name] = torch.from_numpy(values.astype(np.float32))
    return made


def sound(length: int) -> np.ndarray:
    """Noise, `[1, 1, length]`."""
    return (0.3 * np.random.RandomState(length).standard_normal((1, 1, length))).astype(np.float32)


def official():
    """The package's model, narrow."""
    from encodec import EncodecModel, modules, quantization

    sizes = {"dimension": DIM, "n_filters": FILTERS, "causal": True, "norm": "weight_norm"}
    encoder, decoder = modules.SEANetEncoder(**sizes), modules.SEANetDecoder(**sizes)
    quantizer = quantization.ResidualVectorQuantizer(dimension=DIM, n_q=LEVELS, bins=SIZE)
    return EncodecModel(encoder, decoder, quantizer, [1.2], 24_000, 1).eval()


def main() -> None:
    """Write the golden file."""
    sys.path.insert(0, str(HERE.parent / "legacy"))
    from make import stand_in_for_torchaudio

    stand_in_for_torchaudio()
    import torch

    model = official()
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights(shapes))
    arrays = {"shapes": np.frombuffer(json.dumps(shapes).encode(), np.uint8)}
    for length in LENGTHS:
        with torch.no_grad():
            [(codes, _)] = model.encode(torch.from_numpy(sound(length)))
            wave = model.decode([(codes, None)])[..., :length]
        arrays |= {f"codes-{length}": codes.numpy().astype(np.uint8), f"wave-{length}": wave.numpy()}
    np.savez_compressed(HERE / "small.npz", **arrays)


if __name__ == "__main__":
    main()
