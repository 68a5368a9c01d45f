"""Sound to .nac and back through the bundled model: lengths, stretches, damage, tags. No sample values are assumed."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nacre
from nacre import CodecInfo, DecodeOptions, EncodeOptions, OnnxCodec, decode_file, encode_file
from nacre.audio import RawFormat, read, write
from nacre.container import nac
from nacre.container.nac import Damage
from nacre.errors import DamagedError, InputError
from nacre.files import check_maker, check_target, describe, tagged

RATES = (8000, 16000, 22050, 24000, 44100, 48000)


@pytest.fixture(scope="module")
def codec() -> OnnxCodec:
    loaded = nacre.load()
    assert isinstance(loaded, OnnxCodec)
    return loaded


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (1, channels, samples)).astype(np.float32)


@pytest.fixture(scope="module")
def coded(codec: OnnxCodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds and a bit, coded."""
    folder = tmp_path_factory.mktemp("coded")
    write(folder / "a.wav", noise(5 * 24000 + 123), 24000)
    encode_file(codec, folder / "a.wav", folder / "a.nac")
    return folder / "a.nac"


class Pipe(io.BytesIO):
    """Bytes that can be read once, front to back."""

    def seekable(self) -> bool:
        return False


def back(codec: OnnxCodec, source: Path, options: DecodeOptions | None = None) -> np.ndarray:
    """What decodes from `source`, as float32 at the codec's rate, untouched."""
    target = source.with_name("back.wav")
    options = replace(options or DecodeOptions(), encoding="float32", overwrite=True)
    decode_file(lambda info: codec, source, target, options)
    return read(target).samples


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 24321])
def test_length_out_is_length_in(codec: OnnxCodec, tmp_path: Path, rate: int, samples: int) -> None:
    source, middle, target = (tmp_path / name for name in ("in.wav", "m.nac", "out.wav"))
    write(source, noise(samples), rate)
    made = encode_file(codec, source, middle)
    decoded = decode_file(lambda info: codec, middle, target)
    sound = read(target)
    assert (sound.samples.shape, sound.sample_rate) == ((1, 1, samples), rate)
    assert (made.samples, made.sample_rate) == (decoded.samples, decoded.sample_rate) == (samples, rate)
    assert made.bytes == decoded.bytes == middle.stat().st_size
    assert decoded.damage == ()


@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES)
def test_length_out_is_length_in_for_ten_minutes(codec: OnnxCodec, tmp_path: Path, rate: int) -> None:
    test_length_out_is_length_in(codec, tmp_path, rate, 600 * rate + 1)


def test_a_pipe_of_unknown_length_keeps_its_length_too(codec: OnnxCodec, tmp_path: Path) -> None:
    raw = RawFormat("s16le", 24000)
    made = encode_file(codec, io.BytesIO(bytes(2 * 24321)), tmp_path / "m.nac", EncodeOptions(pcm=raw))
    assert made.samples == 24321 and made.source == "the stream"
    assert back(codec, tmp_path / "m.nac").shape == (1, 1, 24321)


def test_a_file_holds_what_the_codec_says(codec: OnnxCodec, coded: Path) -> None:
    codes = codec.encode(read(coded.with_suffix(".wav")).samples)
    with nacre.NacReader(coded) as reader:
        assert reader.read() == codes
        assert reader.tags == {}  # rate and length are the codec's and the file's own
    assert np.array_equal(back(codec, coded), codec.decode(codes))


@pytest.mark.parametrize(
    ("start", "stop"), [(0.0, 0.5), (1.0, 2.0), (2.345, 4.001), (3.9, None), (4.5, 60.0), (0.013, 0.027)]
)
def test_a_stretch_is_exactly_that_of_the_whole(
    codec: OnnxCodec, coded: Path, start: float, stop: float | None
) -> None:
    whole = back(codec, coded)
    part = back(codec, coded, DecodeOptions(start=start, stop=stop))
    last = whole.shape[2] if stop is None else round(stop * 24000)
    assert part.shape[2] > 0
    assert np.array_equal(part, whole[:, :, round(start * 24000) : last])


def test_a_stretch_is_read_from_where_it_begins(
    codec: OnnxCodec, coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = []
    decode_frames = OnnxCodec.decode_frames

    def count(self: OnnxCodec, levels: tuple[np.ndarray, ...], state: dict[str, np.ndarray]) -> np.ndarray:
        frames.append(levels[0].shape[1])
        return decode_frames(self, levels, state)

    monkeypatch.setattr(OnnxCodec, "decode_frames", count)
    back(codec, coded, DecodeOptions(start=3.0, stop=3.1))
    assert 0.1 * 75 + codec.info.preroll <= sum(frames) <= 3 * 75  # packets of a second


def test_a_stretch_has_the_bitrate_of_the_whole(codec: OnnxCodec, coded: Path, tmp_path: Path) -> None:
    whole, part, piped = DecodeOptions(), DecodeOptions(start=1.0, stop=2.5), DecodeOptions(stop=2.5)
    said = [
        decode_file(lambda info: codec, source, tmp_path / f"{i}.wav", options)
        for i, (source, options) in enumerate([(coded, whole), (coded, part), (Pipe(coded.read_bytes()), piped)])
    ]
    assert [each.seconds for each in said] == [pytest.approx(5 + 123 / 24000), 1.5, 2.5]
    assert said[0].bitrate == said[1].bitrate == 8 * coded.stat().st_size / said[0].seconds
    assert said[2].bitrate == 0.0  # what was not read may be long or short


def test_bytes_are_counted_in_a_pipe_too(codec: OnnxCodec, coded: Path, tmp_path: Path) -> None:
    pipe = io.BytesIO()
    made = encode_file(codec, coded.with_suffix(".wav"), pipe)
    assert made.bytes == len(pipe.getvalue()) == coded.stat().st_size and made.target == "the stream"
    decoded = decode_file(lambda info: codec, Pipe(pipe.getvalue()), tmp_path / "b.wav")
    assert decoded.bytes == made.bytes and decoded.bitrate == made.bitrate > 6000


def test_stretches_at_another_rate_have_their_length(codec: OnnxCodec, coded: Path, tmp_path: Path) -> None:
    options = DecodeOptions(start=1.0, stop=2.5, sample_rate=44100)
    assert decode_file(lambda info: codec, coded, tmp_path / "a.wav", options).samples == round(1.5 * 44100)


def test_stretches_that_are_not_there_are_refused(codec: OnnxCodec, coded: Path) -> None:
    with pytest.raises(InputError, match=r"the sound is 5\.01 s long, so it cannot start at 6 s"):
        back(codec, coded, DecodeOptions(start=6.0))
    with pytest.raises(InputError, match="end, 1 s, has to come after the start, 2 s"):
        back(codec, coded, DecodeOptions(start=2.0, stop=1.0))
    for name, bad in (("start", math.nan), ("start", math.inf), ("start", -1.0)):
        with pytest.raises(InputError, match=f"the start is a number of seconds from 0 on, got {bad}"):
            DecodeOptions(**{name: bad})
    with pytest.raises(InputError, match="the end is a number of seconds"):
        DecodeOptions(stop=math.nan)


def test_fewer_bits_are_the_first_levels(codec: OnnxCodec, coded: Path) -> None:
    codes = codec.encode(read(coded.with_suffix(".wav")).samples)
    assert np.array_equal(back(codec, coded, DecodeOptions(bitrate=1350)), codec.decode(codes.head(2)))
    assert np.array_equal(back(codec, coded, DecodeOptions(bitrate=1e6)), codec.decode(codes))
    with pytest.raises(InputError, match="needs at least"):
        back(codec, coded, DecodeOptions(bitrate=100))


def flip(source: Path, target: Path, place: int) -> Path:
    data = bytearray(source.read_bytes())
    data[place] ^= 8
    target.write_bytes(data)
    return target


def test_a_flipped_bit_costs_one_packet(codec: OnnxCodec, coded: Path, tmp_path: Path) -> None:
    hurt = flip(coded, tmp_path / "hurt.nac", coded.stat().st_size // 2)
    outcome = decode_file(lambda info: codec, hurt, tmp_path / "a.wav", DecodeOptions(encoding="float32"))
    (sentence,) = outcome.damage
    assert sentence.startswith("packet 2 at 1.99 s: ") and sentence.endswith("1.00 s of sound are lost")
    found, whole = read(tmp_path / "a.wav").samples, back(codec, coded)
    assert found.shape == whole.shape
    start, stop = codec.info.span(0, 150), codec.info.span(0, 225)
    after = stop + codec.info.preroll * codec.info.hop  # the decoder begins anew there
    silent = codec.info.span(0, 150 + codec.info.conceals + 1)  # what the codec makes up, and one frame that fades
    assert found[:, :, start:silent].any() and not found[:, :, silent:stop].any()
    assert np.array_equal(found[:, :, :start], whole[:, :, :start])
    assert np.array_equal(found[:, :, after:], whole[:, :, after:])


def test_damage_is_told_in_a_sentence() -> None:
    one, many = Damage(2, 1.9867, 1.0, "damaged"), Damage(3, 2.99, 7.004, "damaged or missing", 7)
    assert describe(one) == "packet 2 at 1.99 s: damaged; 1.00 s of sound are lost"
    assert describe(many) == "packets 3 to 9 at 2.99 s: damaged or missing; 7.00 s of sound are lost"
    assert describe(Damage(5, 5.0, 0.0, "it was repaired")) == "packet 5 at 5.00 s: it was repaired"


def test_damage_keeps_the_length_at_other_rates(codec: OnnxCodec, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(3 * 44100 + 1), 44100)
    encode_file(codec, tmp_path / "a.wav", tmp_path / "a.nac")
    hurt = flip(tmp_path / "a.nac", tmp_path / "b.nac", (tmp_path / "a.nac").stat().st_size // 2)
    outcome = decode_file(lambda info: codec, hurt, tmp_path / "b.wav")
    assert outcome.damage and outcome.samples == 3 * 44100 + 1


def test_a_file_cut_short_gives_its_whole_packets(codec: OnnxCodec, coded: Path, tmp_path: Path) -> None:
    data = coded.read_bytes()
    (tmp_path / "cut.nac").write_bytes(data[: len(data) * 3 // 5])
    options = DecodeOptions(encoding="float32")
    outcome = decode_file(lambda info: codec, tmp_path / "cut.nac", tmp_path / "a.wav", options)
    assert outcome.damage and "damaged or missing" in outcome.damage[-1]
    found, whole = read(tmp_path / "a.wav").samples, back(codec, coded)
    assert found.shape[2] in [codec.info.span(0, 75 * packets) for packets in (1, 2, 3)]
    assert np.array_equal(found, whole[:, :, : found.shape[2]])


@pytest.mark.parametrize("samples", ["99999999999999", "7", "no", ""])
@pytest.mark.parametrize("rate", ["24000", "99999999", "0"])
def test_tags_that_lie_do_no_harm(codec: OnnxCodec, tmp_path: Path, samples: str, rate: str) -> None:
    codes = codec.encode(noise(24000))
    with nacre.NacWriter(tmp_path / "a.nac", codec.info, tags={"rate": rate, "samples": samples}) as writer:
        writer.write(codes)
    assert np.array_equal(back(codec, tmp_path / "a.nac"), codec.decode(codes))


def test_tags_are_kept_but_ours_cannot_be_taken(codec: OnnxCodec, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(1000), 16000)
    encode_file(codec, tmp_path / "a.wav", tmp_path / "a.nac", EncodeOptions(tags={"title": "Morgen, früh"}))
    with nacre.NacReader(tmp_path / "a.nac") as reader:
        assert reader.tags == {"title": "Morgen, früh", "rate": "16000", "samples": "1000"}
    with pytest.raises(InputError, match="the tag 'samples' is kept"):
        EncodeOptions(tags={"samples": "3"})
    assert tagged({"n": "²"}, "n") is None and tagged({"n": "-1"}, "n") is None and tagged({"n": "12"}, "n") == 12


def test_stereo_is_mixed_and_told(codec: OnnxCodec, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(1000, channels=2), 24000)
    assert encode_file(codec, tmp_path / "a.wav", tmp_path / "a.nac").mixed_from == 2


def test_kinds_that_cannot_hold_a_rate_get_the_next_better_one(codec: OnnxCodec, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(22050), 22050)
    encode_file(codec, tmp_path / "a.wav", tmp_path / "a.nac")
    outcome = decode_file(lambda info: codec, tmp_path / "a.nac", tmp_path / "a.opus")
    assert outcome.sample_rate == 24000
    assert decode_file(lambda info: codec, tmp_path / "a.nac", tmp_path / "a.mp3").sample_rate == 22050
    with pytest.raises(InputError, match="cannot hold 22050 Hz"):
        decode_file(lambda info: codec, tmp_path / "a.nac", tmp_path / "b.opus", DecodeOptions(sample_rate=22050))


def test_nothing_is_left_after_a_failure(codec: OnnxCodec, coded: Path, tmp_path: Path) -> None:
    sound = coded.with_suffix(".wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(sound[: len(sound) // 2])
    with pytest.raises(DamagedError, match="cut short"):
        encode_file(codec, tmp_path / "cut.wav", tmp_path / "a.nac")

    def stop(done: float, whole: float | None) -> None:
        raise KeyboardInterrupt

    for make in (
        lambda: encode_file(codec, coded.with_suffix(".wav"), tmp_path / "a.nac", progress=stop),
        lambda: decode_file(lambda info: codec, coded, tmp_path / "a.wav", progress=stop),
    ):
        with pytest.raises(KeyboardInterrupt):
            make()
    assert os.listdir(tmp_path) == ["cut.wav"]


def test_progress_counts_seconds(codec: OnnxCodec, coded: Path, tmp_path: Path) -> None:
    told: list[tuple[float, float | None]] = []
    encode_file(codec, coded.with_suffix(".wav"), tmp_path / "a.nac", progress=lambda *at: told.append(at))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (pytest.approx(5.005125), pytest.approx(5.005125))
    told.clear()
    options = DecodeOptions(start=1.0, stop=3.0)
    decode_file(lambda info: codec, coded, tmp_path / "b.wav", options, lambda *at: told.append(at))
    assert told[-1] == (pytest.approx(2.0), pytest.approx(2.0))


def test_targets_and_makers_are_checked(codec: OnnxCodec, coded: Path) -> None:
    for name in ("a.wav", "nac", Path("b.flac")):
        with pytest.raises(InputError, match=r"goes into a \.nac file"):
            check_target(name)
    for fine in ("-", "a.nac", "A.NAC", io.BytesIO()):
        check_target(fine)
    other = replace(codec.info, digest="0123456789abcdef")
    with pytest.raises(InputError, match=r"made by pearl-24k 0123456789abcdef, .* name the model"):
        check_maker(codec, other)


@pytest.mark.parametrize("name", ["null.nac", "24k-1500.ecdc", "padded.dac"])
def test_files_of_earlier_codecs_are_pointed_to_what_decodes_them(tmp_path: Path, name: str) -> None:
    def never(info: CodecInfo) -> OnnxCodec:
        raise AssertionError

    source = Path(__file__).parent / "golden" / "legacy" / name
    with pytest.raises(InputError, match="`nacre decode` and nacre"):
        decode_file(never, source, tmp_path / "a.wav")


MEMORY = """
import io, resource, sys
import nacre
from nacre.audio import RawFormat
class Endless(io.RawIOBase):
    "Samples as they would come through a pipe."
    def __init__(self, size): self.left = size
    def readable(self): return True
    def readinto(self, buffer):
        n = min(len(buffer), self.left); buffer[:n] = bytes(n); self.left -= n; return n
way, seconds, coded = sys.argv[1], int(sys.argv[2]), sys.argv[3]
codec = nacre.load()
if way == "encode":
    source = io.BufferedReader(Endless(seconds * 2 * 24000))
    nacre.encode_file(codec, source, coded, nacre.EncodeOptions(pcm=RawFormat("s16le", 24000)))
else:
    nacre.decode_file(lambda info: codec, coded, coded + ".wav")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks: dict[str, list[int]] = {"encode": [], "decode": []}
    for seconds in (20, 200):
        for way, found in peaks.items():
            words = [sys.executable, "-c", MEMORY, way, str(seconds), str(tmp_path / f"{seconds}.nac")]
            found.append(int(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
    for short, long in peaks.values():
        assert long < 1.1 * short, peaks


@pytest.mark.parametrize("lie", [{"codebook_sizes": (4096,) * 9}, {"hop": 640}, {"codebook_sizes": (512,) * 10}])
def test_a_file_that_lies_about_its_maker_is_damaged(codec: OnnxCodec, tmp_path: Path, lie: dict[str, Any]) -> None:
    info = replace(codec.info, **lie, strides=())
    codes = nacre.Codes(tuple(np.full((1, 75), size - 1, np.int64) for size in info.codebook_sizes), 75 * 300, info)
    nac.write(tmp_path / "a.nac", codes, raw=True)
    with pytest.raises((DamagedError, InputError), match=r"call themselves|has 1 to 9 levels"):
        decode_file(lambda info: codec, tmp_path / "a.nac", tmp_path / "a.wav")
    assert os.listdir(tmp_path) == ["a.nac"]
