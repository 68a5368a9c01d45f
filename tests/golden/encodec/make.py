"""Makes the files beside it: codes and sound of the package `encodec` 0.1.1, with made-up weights.

    pip install --no-deps encodec einops
    pip install scipy torch==2.13.0
    python tests/golden/encodec/make.py

The models are of the released shapes (24 kHz; 48 kHz, but in segments of 0.1 s; 32 kHz as audiocraft has it) but
narrow, so that the files are small; weights are drawn by `weights()` from names and shapes, so they need not be stored.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DIM, FILTERS, LEVELS, SIZE = 8, 4, 4, 16
LENGTHS = (1, 321, 2593)  # samples: one, a frame and one, and more than the start that is mirrored
KINDS = {  # of SEANet, of the model, lengths; the first of two segments may have a frame less than usual
    "small": ({"causal": True, "norm": "weight_norm"}, {"sample_rate": 24_000, "channels": 1}, LENGTHS),
    "stereo": (
        {"causal": False, "norm": "time_group_norm", "channels": 2},
        {"sample_rate": 32_000, "channels": 2, "normalize": True, "segment": 0.1, "overlap": 0.15},
        (1, 321, 2_725, 6_541),
    ),
    "music": (
        {"causal": False, "norm": "weight_norm", "true_skip": True, "pad_mode": "constant", "ratios": [8, 5, 4, 4]},
        {"sample_rate": 32_000, "channels": 1},
        (1, 641, 5_000),
    ),
}


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


def sound(length: int, channels: int = 1) -> np.ndarray:
    """Noise, `[1, C, length]`."""
    return (0.3 * np.random.RandomState(length).standard_normal((1, channels, length))).astype(np.float32)


def official(kind: str = "small"):
    """The package's model, narrow."""
    from encodec import EncodecModel, modules, quantization

    seanet, whole, _ = KINDS[kind]
    sizes = {"dimension": DIM, "n_filters": FILTERS, **seanet}
    encoder, decoder = modules.SEANetEncoder(**sizes), modules.SEANetDecoder(**sizes)
    quantizer = quantization.ResidualVectorQuantizer(dimension=DIM, n_q=LEVELS, bins=SIZE)
    return EncodecModel(encoder, decoder, quantizer, [1.2], **whole).eval()


def main() -> None:
    """Write the golden files."""
    sys.path.insert(0, str(HERE.parent / "legacy"))
    from make import stand_in_for_torchaudio

    stand_in_for_torchaudio()
    for kind in KINDS:
        write(kind)


def write(kind: str) -> None:
    """Write one."""
    import torch

    model, lengths = official(kind), KINDS[kind][2]
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights(shapes))
    arrays = {"shapes": np.frombuffer(json.dumps(shapes).encode(), np.uint8)}
    for length in lengths:
        with torch.no_grad():
            frames = model.encode(torch.from_numpy(sound(length, model.channels)))
            wave = model.decode(frames)[..., :length]
        codes = np.concatenate([codes.numpy() for codes, _ in frames], axis=2)
        arrays |= {f"codes-{length}": codes.astype(np.uint8), f"wave-{length}": wave.numpy()}
        if model.normalize:
            arrays[f"scale-{length}"] = np.array([scale.item() for _, scale in frames], np.float32)
    np.savez_compressed(HERE / f"{kind}.npz", **arrays)


if __name__ == "__main__":
    main()
