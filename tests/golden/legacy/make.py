"""Makes the golden files beside it with the packages that own the formats: random weights, real writers.

    pip install --no-deps encodec einops descript-audio-codec descript-audiotools argbind docstring-parser
    pip install ffmpy flatten-dict importlib-resources randomname rich tqdm julius scipy soundfile pyloudnorm
    pip install tensorboard torch==2.13.0
    python tests/golden/legacy/make.py

torchaudio, which both import, needs CUDA libraries where there is only a CPU; what of it is used here is made below.
The 2023 `.nac` has no package: that golden file is made by hand, bit by bit, as its writer did. A new run gives the
same codes only on the same machine, and codes are all that matters: each `NAME.npz` holds what `NAME` must decode to.
"""

from __future__ import annotations

import json
import struct
import sys
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def stand_in_for_torchaudio() -> None:
    """Put a torchaudio with the few names that encodec and audiotools touch into `sys.modules`."""
    import scipy.signal
    import torch

    def lfilter(wave: torch.Tensor, a: torch.Tensor, b: torch.Tensor, clamp: bool = True) -> torch.Tensor:
        out = scipy.signal.lfilter(b.numpy(), a.numpy(), wave.numpy(), axis=-1)
        return torch.from_numpy(out.astype(np.float32))

    names = ("torchaudio", "torchaudio.transforms", "torchaudio.functional", "torchaudio.functional.functional")
    modules = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    for name in ("Spectrogram", "MelSpectrogram", "Resample"):
        setattr(modules["torchaudio.transforms"], name, type(name, (), {}))
    for name in ("spectrogram", "_hz_to_mel", "_mel_to_hz"):
        setattr(modules["torchaudio.functional.functional"], name, None)
    modules["torchaudio.functional"].lfilter = lfilter
    for name, module in modules.items():
        sys.modules.setdefault(name, module)


def wave(channels: int, samples: int, sample_rate: int):
    """A swept tone with noise, another one a channel, `[channels, samples]`."""
    import torch

    time = torch.arange(samples) / sample_rate
    tones = [0.4 * torch.sin(2 * torch.pi * (200 * (c + 1) + 400 * time) * time) for c in range(channels)]
    return torch.stack(tones) + 0.05 * torch.randn(channels, samples)


def encodec_model(name: str, bandwidth: float):
    """An official model with random weights and codebooks as wide as what its encoder says."""
    import torch
    from encodec import EncodecModel

    torch.manual_seed(0)
    build = {"encodec_24khz": EncodecModel.encodec_model_24khz, "encodec_48khz": EncodecModel.encodec_model_48khz}[name]
    model = build(pretrained=False)
    model.name = name
    model.set_target_bandwidth(bandwidth)
    with torch.no_grad():
        latents = model.encoder(wave(model.channels, 24000, model.sample_rate)[None])
    centre, spread = latents.mean((0, 2)), latents.std((0, 2))
    for k, layer in enumerate(model.quantizer.vq.layers):
        layer._codebook.embed.normal_(0, 1).mul_(spread * 0.7**k).add_(centre if k == 0 else 0)
        layer._codebook.inited.fill_(1)
    return model


def dac_model(sample_rate: int, rates: list[int], codebooks: int):
    """An official DAC of a released shape but few channels, with random weights."""
    import torch
    from dac import DAC

    torch.manual_seed(0)
    model = DAC(
        encoder_dim=4,
        encoder_rates=rates,
        decoder_dim=64,
        decoder_rates=rates[::-1],
        n_codebooks=codebooks,
        sample_rate=sample_rate,
    )
    return model.eval()


def make_ecdc(name: str, model_name: str, bandwidth: float, samples: int) -> None:
    """One `.ecdc` by encodec's own `compress`, with what its `encode` gave."""
    import torch
    from encodec.compress import compress

    model = encodec_model(model_name, bandwidth)
    audio = wave(model.channels, samples, model.sample_rate)
    with torch.no_grad():
        frames = model.encode(audio[None])
    data = compress(model, audio, use_lm=False)
    codes = np.concatenate([part[0].numpy() for part, _ in frames], axis=1)
    scale = [s.item() for _, s in frames if s is not None]
    save(name, data, codes=codes, length=samples, scale=np.array(scale, np.float32))


def make_dac(name: str, model, audio, sample_rate: int, window: float) -> None:
    """One `.dac` by DAC's own `compress` and `save`, with the codes and the metadata of the object saved."""
    import torch
    from audiotools import AudioSignal

    torch.manual_seed(1)
    file = model.compress(AudioSignal(audio[None], sample_rate), win_duration=window)
    file.save(HERE / name)
    save(
        name,
        (HERE / name).read_bytes(),
        codes=file.codes.numpy(),
        input_db=file.input_db.numpy(),
        numbers=np.array([file.original_length, file.sample_rate, file.chunk_length, file.channels, file.padding]),
    )


def make_nac0(name: str, metadata: object, blocks: int, kbps: int) -> None:
    """One 2023 `.nac`, codes packed one by one into a big number."""
    codes = np.random.default_rng(7).integers(0, 1024, (blocks, 2 * kbps, 100))
    number = sum(int(code) << 10 * i for i, code in enumerate(codes.ravel()))
    header = json.dumps(metadata).encode()
    body = number.to_bytes(codes.size * 10 // 8, "little")
    data = struct.pack("!3sBIB", b"NAC", 0, len(header), kbps) + header + body
    save(name, data, codes=np.concatenate(list(codes), axis=1))


def save(name: str, data: bytes, **expected: object) -> None:
    """The file and what it must decode to."""
    (HERE / name).write_bytes(data)
    small = {key: np.asarray(value) for key, value in expected.items()}
    small["codes"] = small["codes"].astype(np.int16)
    np.savez_compressed(HERE / f"{name}.npz", **small)


def main() -> None:
    """Make them all."""
    stand_in_for_torchaudio()
    make_ecdc("24k-1500.ecdc", "encodec_24khz", 1.5, 24000)
    make_ecdc("24k-6000.ecdc", "encodec_24khz", 6.0, 12345)
    make_ecdc("48k-stereo.ecdc", "encodec_48khz", 3.0, 2 * 48000 + 1000)
    make_ecdc("48k-short-tail.ecdc", "encodec_48khz", 3.0, 2 * 47520 + 100)
    make_dac("padded.dac", dac_model(44100, [2, 4, 8, 8], 9), wave(1, 30000, 44100), 44100, 1.0)
    make_dac("chunked-stereo.dac", dac_model(16000, [2, 4, 5, 8], 12), wave(2, 20000, 16000), 16000, 0.8)
    make_nac0("null.nac", None, 2, 3)
    make_nac0("length.nac", {"length": 33000, "sample_rate": 16000, "channels": 1}, 2, 1)


if __name__ == "__main__":
    main()
