"""nac: codes come back bit for bit, files stay small, and golden files decode for ever."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from random_codes import CODECS, ENCODEC, ENCODEC_48K, HAC, ODD, PEARL, SNAC, any_codes, packed, random_codes

from nacre.codes import CodecInfo, Codes
from nacre.container import nac
from nacre.container.header import Header

GOLDEN = Path(__file__).parent / "golden"
DOCS = Path(__file__).parent.parent / "docs" / "format.md"


@settings(max_examples=150)
@given(any_codes())
def test_codes_of_every_shape_come_back(codes: Codes) -> None:
    for raw in (False, True):
        data = packed(codes, raw)
        assert nac.read(data) == codes
        summary = nac.summary(data)
        assert (summary.length, summary.damage) == (codes.length, ())


def coded_wave(info: CodecInfo, levels: int, length: int) -> Codes:
    frames = -(-info.frames(length) // info.stride) * info.stride
    return random_codes(info, levels, frames, length)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("info", "levels"),
    [
        *((PEARL, levels) for levels in (1, 2, 3, 8, 12)),
        *((HAC, 1), (SNAC, 3), (SNAC, 1), (ENCODEC, 2), (ENCODEC, 32), (ENCODEC_48K, 2), (ENCODEC_48K, 3)),
    ],
)
def test_overhead_is_at_most_forty_bytes_and_one_and_a_half_percent(info: CodecInfo, levels: int, raw: bool) -> None:
    rate = info.sample_rate
    for length in (0, 1, 319, 320, 321, rate // 10, rate // 3, rate, rate + 1, 2 * rate, 10 * rate + 7, 61 * rate):
        codes = coded_wave(info, levels, length)
        data = packed(codes, raw)
        code_bytes = Header(info, levels).code_bits(codes.frames) / 8
        assert len(data) <= code_bytes * 1.015 + 40, f"{length} samples: {len(data) - code_bytes} bytes over"


@pytest.mark.parametrize(("info", "levels"), [(PEARL, 2), (HAC, 1), (PEARL, 8)])
def test_overhead_of_ten_minutes(info: CodecInfo, levels: int) -> None:
    codes = coded_wave(info, levels, 600 * info.sample_rate)
    for raw in (True, False):
        assert len(packed(codes, raw)) <= codes.packed_bits / 8 * 1.015 + 40


def test_entropy_coding_never_costs() -> None:
    for info in CODECS:
        for calm in (1, 2, 4, 8, 16, 400):
            codes = random_codes(info, min(9, info.levels), 1500, calm=calm)
            assert len(packed(codes)) <= len(packed(codes, raw=True))
    assert len(packed(codes)) < 0.5 * len(packed(codes, raw=True))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.nac")), ids=lambda path: path.stem)
def test_golden_files_decode_for_ever(path: Path) -> None:
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        count = sum(name.startswith("level") for name in stored.files)
        codes = Codes(
            levels=tuple(stored[f"level{k}"].astype(np.int64) for k in range(count)),
            length=int(stored["length"]),
            info=CodecInfo(**ast.literal_eval(str(stored["info"]))),
            scale=stored.get("scale"),
            lost=stored.get("lost"),
        )
    assert nac.read(path) == codes
    with nac.NacReader(path) as reader:
        assert reader.tags == {"title": path.stem, "größe": "über"}


def test_there_are_golden_files() -> None:
    assert len(list(GOLDEN.glob("*.nac"))) >= 7


def test_the_specification_shows_a_real_file() -> None:
    text = DOCS.read_text("utf-8").partition("## A worked example")[2]
    rows = re.findall(r"^\| `([0-9a-f ]+)` \|", text, re.MULTILINE)
    data = bytes.fromhex("".join(rows))
    info = CodecInfo("pearl-24k", "0123456789abcdef", 24000, 1, 320, (1024,) * 8, preroll=40)
    levels = tuple(np.array([codes]) for codes in ([1, 2, 3], [1023, 0, 512]))
    codes = Codes(levels, 800, info)
    assert nac.read(data) == codes
    assert packed(codes, raw=True, title="A") == data


def test_a_summary_tells_what_the_file_holds(tmp_path: Path) -> None:
    codes = random_codes(PEARL, 8, 7500, 2_399_520)
    path = tmp_path / "x.nac"
    nac.write(path, codes, {"title": "x"}, raw=True)
    summary = nac.summary(path)
    assert (summary.info, summary.levels, summary.tags) == (PEARL, 8, {"title": "x"})
    assert (summary.packets, summary.seconds, summary.damage) == (100, 99.98, ())
    assert summary.nominal_bitrate == 6000
    assert summary.file_bytes == path.stat().st_size
    assert summary.bitrate == pytest.approx(8 * summary.file_bytes / 99.98)
    assert summary.code_bytes == codes.packed_bits / 8 == 75000
    assert summary.overhead_bytes == summary.file_bytes - 75000
    data = bytearray(path.read_bytes())
    data[40000] ^= 1
    (damage,) = nac.summary(bytes(data)).damage
    assert (damage.packet, damage.seconds, damage.reason) == (53, 1.0, "damaged")
    assert damage.start == 53 - 0.02
    assert nac.summary(packed(random_codes(ODD, 1, 0))).bitrate == 0


def test_heads_of_more_levels_are_the_same_codes() -> None:
    codes = random_codes(SNAC, 3, 500)
    assert nac.read(packed(codes.head(1))) == codes.head(1)
