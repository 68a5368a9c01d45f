from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import nacre
from nacre.codes import CodecInfo, Codes
from nacre.container import legacy, nac
from nacre.contents import convert_file, summarise
from nacre.errors import DamagedError, InputError

LEGACY = Path(__file__).parent / "golden" / "legacy"
PEARL = CodecInfo("pearl-24k", "0123456789abcdef", 24000, 1, 320, (512,) * 9, delay=320)


def codes_of(info: CodecInfo, frames: int, levels: int | None = None, length: int | None = None) -> Codes:
    rng = np.random.default_rng(frames)
    sizes = info.codebook_sizes[:levels]
    arrays = tuple(rng.integers(0, size, (1, frames)) for size in sizes)
    return Codes(arrays, info.span(0, frames) if length is None else length, info)


def test_a_nac_file_is_told_in_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "a.nac"
    nac.write(path, codes_of(PEARL, 300, levels=4), {"title": "Morgen"})
    found = summarise(path)
    assert json.loads(json.dumps(found)) == found
    size = path.stat().st_size
    assert found == {
        "file": str(path), "container": "nac", "codec": "pearl-24k", "digest": "0123456789abcdef",
        "sample_rate": 24000, "channels": 1, "levels": 4, "codec_levels": 9, "seconds": 299 / 75, "samples": 299 * 320,
        "bytes": size, "bitrate": pytest.approx(8 * size / (299 / 75)), "nominal_bitrate": 2700.0,
        "packets": 4, "code_bytes": 300 * 36 // 8, "tags": {"title": "Morgen"}, "damage": [],
    }  # fmt: skip


def test_damage_is_told_and_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nac"
    nac.write(path, codes_of(PEARL, 300))
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 8] ^= 1  # of four packets the second
    path.write_bytes(data)
    (place,) = summarise(path)["damage"]
    assert place["packet"] == 1 and place["start"] == pytest.approx(74 / 75) and place["seconds"] == pytest.approx(1.0)
    assert place["sentence"].startswith("packet 1 at 0.99 s: ")
    json.dumps(place)
    with pytest.raises(InputError, match=r"damaged, so not all codes can be moved; decode it: packet 1 at 0\.99 s"):
        convert_file(path, tmp_path / "b.nac")
    assert os.listdir(tmp_path) == ["a.nac"]


@pytest.mark.parametrize(
    ("name", "kind", "codec", "metadata"),
    [
        ("length.nac", "nac0", "nac-2023", "length"),
        ("24k-1500.ecdc", "ecdc", "encodec-24k", "al"),
        ("48k-stereo.ecdc", "ecdc", "encodec-48k", "nc"),
        ("padded.dac", "dac", None, "original_length"),
    ],
)
def test_files_of_earlier_codecs_are_told_too(name: str, kind: str, codec: str | None, metadata: str) -> None:
    found = summarise(LEGACY / name)
    held = legacy.read(LEGACY / name)
    assert found["container"] == kind and found["codec"] == (codec or held.codes.info.name)
    assert found["samples"] == held.codes.length and found["bytes"] == (LEGACY / name).stat().st_size
    assert found["metadata"][metadata] == held.metadata[metadata]
    json.dumps(found)


@pytest.mark.parametrize("name", ["null.nac", "length.nac", "24k-6000.ecdc", "48k-stereo.ecdc", "48k-short-tail.ecdc"])
def test_codes_go_to_nac_and_back_without_loss(tmp_path: Path, name: str) -> None:
    source, middle, back = LEGACY / name, tmp_path / "m.nac", tmp_path / f"back{Path(name).suffix}"
    there = convert_file(source, middle)
    assert (there.container, there.dropped_tags) == ("nac", ())
    with nacre.NacReader(middle) as reader:
        assert reader.read() == legacy.read(source).codes
    convert_file(middle, back, "nac0" if name.endswith(".nac") else None)
    assert legacy.read(back).codes == legacy.read(source).codes
    if not name.endswith(".nac"):  # which we write with its length, and zeros behind the end
        assert back.read_bytes() == source.read_bytes()


def make_dac(path: Path, rate: int, length: int, decibels: float) -> Path:
    info = legacy.CODECS["dac-44k"]
    coded = length * info.sample_rate // rate
    codes = codes_of(info, -(-coded // info.hop), length=coded)
    fields = {"input_db": (decibels,), "original_length": length, "sample_rate": rate}
    path.write_bytes(legacy.write_dac(codes, fields))
    return path


def test_a_dac_file_keeps_its_rate_length_and_loudness(tmp_path: Path) -> None:
    source = make_dac(tmp_path / "a.dac", 48000, 48123, -23.456)
    convert_file(source, tmp_path / "m.nac")
    with nacre.NacReader(tmp_path / "m.nac") as reader:
        assert {key: reader.tags[key] for key in ("rate", "samples")} == {"rate": "48000", "samples": "48123"}
    assert convert_file(tmp_path / "m.nac", tmp_path / "b.dac").dropped_tags == ()
    assert (tmp_path / "b.dac").read_bytes() == source.read_bytes()


def test_windows_stay_in_dac(tmp_path: Path) -> None:
    window = legacy.read(LEGACY / "chunked-stereo.dac").window
    with pytest.raises(InputError, match=f"coded in windows of {window} frames"):
        convert_file(LEGACY / "chunked-stereo.dac", tmp_path / "a.nac")
    assert window and os.listdir(tmp_path) == []


def test_a_dac_that_fits_two_models_needs_a_name(tmp_path: Path) -> None:
    codes = codes_of(legacy.CODECS["dac-16k"], 1, levels=4, length=100)  # one frame at 24 kHz just as well
    fields = {"original_length": 300, "sample_rate": 48000}
    (tmp_path / "a.dac").write_bytes(legacy.write_dac(codes, fields))
    with pytest.raises(InputError, match=r"a\.dac: a \.dac does not name its model, .* say which of"):
        summarise(tmp_path / "a.dac")
    assert summarise(tmp_path / "a.dac", "dac-16k")["codec"] == "dac-16k"
    assert convert_file(tmp_path / "a.dac", tmp_path / "a.nac", codec="dac-16k").codec == "dac-16k"
    with pytest.raises(InputError, match=r"a\.dac: a \.dac is written by"):
        convert_file(tmp_path / "a.dac", tmp_path / "b.nac", codec="mimi")


def test_tags_without_room_are_told(tmp_path: Path) -> None:
    codes = legacy.read(LEGACY / "24k-1500.ecdc").codes
    nac.write(tmp_path / "a.nac", codes, {"title": "Morgen", "rate": "24000"})
    assert convert_file(tmp_path / "a.nac", tmp_path / "a.ecdc").dropped_tags == ("rate", "title")
    convert_file(tmp_path / "a.nac", tmp_path / "b.nac")
    assert summarise(tmp_path / "b.nac")["tags"] == {"title": "Morgen", "rate": "24000"}


def test_what_cannot_be_is_refused_and_nothing_written(tmp_path: Path) -> None:
    nac.write(tmp_path / "a.nac", codes_of(PEARL, 30))
    for target, container, words in [
        ("b.ecdc", None, r"\.ecdc holds codes of encodec-24k or encodec-48k, got pearl-24k"),
        ("b.wav", None, r"codes go into \.nac, \.ecdc, \.dac or \.lyra files"),
        ("b.nac", "ecdc", r"ecdc codes go into a \.ecdc file"),
        ("b.nac", "zip", "name one of these"),
        ("a.nac", None, "exists; overwrite it with --force"),
    ]:
        with pytest.raises(InputError, match=words):
            convert_file(tmp_path / "a.nac", tmp_path / target, container)
    with pytest.raises(InputError, match="does not exist"):
        summarise(tmp_path / "none.nac")
    (tmp_path / "junk.nac").write_bytes(b"NAC\x01junk")
    with pytest.raises(DamagedError, match=r"junk\.nac: "):
        summarise(tmp_path / "junk.nac")
    assert sorted(os.listdir(tmp_path)) == ["a.nac", "junk.nac"]


def test_overwriting_is_allowed_on_request(tmp_path: Path) -> None:
    nac.write(tmp_path / "a.nac", codes_of(PEARL, 30))
    (tmp_path / "b.nac").write_text("old")
    convert_file(tmp_path / "a.nac", tmp_path / "b.nac", overwrite=True)
    assert (tmp_path / "b.nac").read_bytes() == (tmp_path / "a.nac").read_bytes()
    before = (LEGACY / "24k-1500.ecdc").read_bytes()
    (tmp_path / "c.ecdc").write_text("old")
    convert_file(LEGACY / "24k-1500.ecdc", tmp_path / "c.ecdc", overwrite=True)
    assert (tmp_path / "c.ecdc").read_bytes() == before
