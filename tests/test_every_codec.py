"""What every codec promises, on every preset with random weights: lengths, streams, batches, files, folders.

Presets are made narrow where their config has widths: what is proved here hangs on kernels, strides and padding.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamed import streamed

import nacre.codecs
from nacre import Codes, NacReader, NacWriter
from nacre.codecs.base import Codec
from nacre.converters.from_safetensors import load_folder
from nacre.converters.to_folder import save_folder

WIDTHS = {  # fields of configs: what they become
    "encoder_dim": 16, "decoder_dim": 64, "filters": 4, "width": 32, "decoder_width": 32, "dim": 32, "hidden": 64,
    "latent": 16, "codebook_size": 64, "normed": 4,
}  # fmt: skip


def found() -> Iterator[tuple[str, type[Codec], Any]]:
    """Name, class and config of every preset of every file under codecs/ that encodes."""
    for path in sorted(Path(nacre.codecs.__file__).parent.glob("*.py")):
        module = import_module(f"nacre.codecs.{path.stem}")
        made = [each for each in vars(module).values() if isclass(each) and each.__module__ == module.__name__]
        codecs = [each for each in made if issubclass(each, Codec) and each is not Codec]
        for name, config in getattr(module, "PRESETS", {}).items():
            if codecs:
                yield name, codecs[0], config


def narrow(config: Any) -> Any:
    """`config` with small widths, also in the configs inside it."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = narrow(value)
        elif field.name in WIDTHS and isinstance(value, int) and field.init:
            changes[field.name] = min(value, WIDTHS[field.name])
    return dataclasses.replace(config, **changes)


def distinct() -> dict[str, tuple[type[Codec], Any]]:
    """Without presets that are another one's twin in all but the name."""
    chosen: dict[str, tuple[type[Codec], Any]] = {}
    for name, make, config in found():
        if (make, narrow(config)) not in chosen.values():
            chosen[name] = (make, narrow(config))
    return chosen


FOUND = distinct()


def build(name: str) -> Codec:
    """A preset, narrow where that can be, with weights that are nowhere zero."""
    make, config = FOUND[name]
    torch.manual_seed(len(name))
    codec = make(config, name)
    with torch.no_grad():
        for parameter in codec.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
    for module in codec.modules():
        if hasattr(module, "entries") and not module.entries.any():  # codebooks that wait for their first batch
            module.entries.normal_()
    return codec.fold().eval()


def wave_for(codec: Codec, frames: float, batch: int = 1) -> np.ndarray:
    info = codec.info
    length = int(info.hop * info.stride * frames) + 7
    return np.random.default_rng(1).normal(0, 0.1, (batch, info.channels, length)).astype(np.float32)


def near(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 2e-5 * max(1.0, np.abs(theirs).max())


@pytest.mark.parametrize("name", FOUND)
def test_a_preset_keeps_every_promise(name: str, tmp_path: Path) -> None:
    codec = build(name)
    wave = wave_for(codec, 3.4, batch=2)
    codes = codec.encode(wave)
    sound = codec.decode(codes)
    assert sound.shape == wave.shape and np.isfinite(sound).all()
    first = codec.encode(wave[:1])
    assert [level[:1].tolist() for level in codes.levels] == [level.tolist() for level in first.levels]
    near(codec.decode(first), sound[:1])
    in_chunks(codec, wave[:1], first, sound[:1])
    through_a_file(codec, first, sound[:1])
    through_a_folder(codec, first, tmp_path)
    fewer(codec, wave[:1], first)


def in_chunks(codec: Codec, wave: np.ndarray, codes: Codes, sound: np.ndarray) -> None:
    """Chunks that fill no frame, and none at all, give what the whole gives."""
    hop = codec.info.hop
    for sizes in ([1, hop + 3, 0, 2 * hop - 1, 17], [hop // 2 + 1] * 4):
        pieces, heard = streamed(codec, wave, sizes)
        assert pieces == codes
        near(heard, sound)


def through_a_file(codec: Codec, codes: Codes, sound: np.ndarray) -> None:
    held = io.BytesIO()
    with NacWriter(held, codec.info, len(codes.levels)) as writer:
        writer.write(codes)
    held.seek(0)
    with NacReader(held) as reader:
        read = reader.read()
    assert read == codes
    near(codec.decode(read), sound)


def through_a_folder(codec: Codec, codes: Codes, folder: Path) -> None:
    save_folder(codec, folder)
    again = load_folder(folder)
    assert again.info == codec.info and again.config == codec.config
    near(again.decode(codes), codec.decode(codes))


def fewer(codec: Codec, wave: np.ndarray, codes: Codes) -> None:
    """The first levels are those of the whole where levels nest."""
    one = codec.encode(wave, 1)
    assert one.levels[0].tolist() == codes.levels[0].tolist()
    assert codec.decode(one).shape == wave.shape


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("length", [0, 1])
def test_hardly_any_sound_comes_back(name: str, length: int) -> None:
    codec = build(name)
    wave = np.full((1, codec.info.channels, length), 0.25, np.float32)
    assert codec.decode(codec.encode(wave)).shape == wave.shape


def test_every_architecture_is_here() -> None:
    assert {"pearl-24k", "encodec-24k", "dac-44k"} <= set(FOUND)
    assert len({make for make, _ in FOUND.values()}) >= 3
