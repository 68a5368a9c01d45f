"""Codecs and codes for the tests of containers: usual ones, and whatever hypothesis can think of."""

from __future__ import annotations

import io
from math import lcm

import numpy as np
from hypothesis import strategies as st

from nacre.codes import CodecInfo, Codes
from nacre.container.nac import write
from nacre.errors import InputError

DIGEST = "0123456789abcdef"
PEARL = CodecInfo("pearl-24k", DIGEST, 24000, 1, 320, (1024,) * 12, delay=480, preroll=40)
HAC = CodecInfo("hac-24k", DIGEST, 24000, 1, 320, (1 << 18,), delay=480, preroll=40)
SNAC = CodecInfo("snac-24k", DIGEST, 24000, 1, 512, (4096,) * 3, (4, 2, 1))
ENCODEC = CodecInfo("encodec-24k", DIGEST, 24000, 1, 320, (1024,) * 32)
ENCODEC_48K = CodecInfo("encodec-48k", DIGEST, 48000, 2, 320, (1024,) * 16, segment=150)
ODD = CodecInfo("Odd Ω", "", 7999, 3, 99, (1000, 3, 1 << 20, 2), (1, 3, 2, 6), delay=7)
TINY = CodecInfo("tiny", "", 100, 1, 10, (16, 3))  # ten frames a second: packets of a few hundred frames
CODECS = (PEARL, HAC, SNAC, ENCODEC, ENCODEC_48K, ODD, TINY)


def random_codes(
    info: CodecInfo, levels: int, frames: int, length: int | None = None, seed: int = 0, calm: int = 1
) -> Codes:
    """Codes of at least `frames` frames that stay the same for `calm` frames, so that entropy coding pays for large."""
    generator = np.random.default_rng(seed)
    stride = lcm(*info.strides[:levels])
    frames = -(-frames // stride) * stride
    arrays = []
    for size, each in zip(info.codebook_sizes[:levels], info.strides, strict=False):
        codes = generator.integers(0, size, (1, -(-frames // (each * calm))))
        arrays.append(np.repeat(codes, calm, axis=1)[:, : frames // each])
    scale = None
    if info.segment:
        scale = generator.random((1, -(-frames // info.segment)), dtype=np.float32)
    return Codes(tuple(arrays), info.span(0, frames) if length is None else length, info, 0, scale)


def packed(codes: Codes, raw: bool = False, **tags: str) -> bytes:
    """`codes` as the bytes of a file."""
    sink = io.BytesIO()
    write(sink, codes, tags, raw)
    return sink.getvalue()


@st.composite
def infos(draw: st.DrawFn) -> CodecInfo:
    """Any codec of 1 to 32 levels, of any codebook sizes and strides."""
    count = draw(st.integers(1, 32))
    sizes = st.one_of(st.integers(2, 1 << 20), st.sampled_from([2, 3, 1000, 1024, 4096, 4097, (1 << 20) - 1, 1 << 20]))
    strides = draw(st.sampled_from([(1,), (1, 2, 4), (1, 3), (2, 3), (4, 2, 1)]))
    try:
        return CodecInfo(
            name=draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)),
            digest=draw(st.sampled_from(["", DIGEST, "ab", "0" * 64])),
            sample_rate=draw(st.one_of(st.sampled_from([8000, 24000, 44100]), st.integers(1, 1 << 20))),
            channels=draw(st.integers(1, 255)),
            hop=draw(st.one_of(st.sampled_from([320, 512]), st.integers(1, 1 << 16))),
            codebook_sizes=tuple(draw(st.lists(sizes, min_size=count, max_size=count))),
            strides=tuple(strides[i % len(strides)] for i in range(count)),
            delay=draw(st.integers(0, 5000)),
            preroll=draw(st.integers(0, 300)),
            segment=draw(st.sampled_from([0, 0, 1, 5, 24])),
        )
    except InputError as error:  # the strategy is meant to draw possible codecs only
        raise AssertionError from error


@st.composite
def any_codes(draw: st.DrawFn, most: int = 400) -> Codes:
    """Codes of any shape and of a length that need not fit their frames."""
    info = draw(infos())
    frames, levels = draw(st.integers(0, most)), draw(st.integers(1, info.levels))
    usual = random_codes(
        info, levels, frames, seed=draw(st.integers(0, 9)), calm=draw(st.sampled_from([1, 1, 10, 400]))
    )
    shorter = draw(st.integers(0, info.hop * info.stride))
    length = draw(st.sampled_from([usual.length, max(0, usual.length - shorter), 0, 12345678]))
    return random_codes(
        info, levels, frames, length, seed=draw(st.integers(0, 9)), calm=draw(st.sampled_from([1, 10, 400]))
    )
