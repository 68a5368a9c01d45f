"""Test folders: what is in them, how loud it is, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening_test import BAD, FAIR, RATE, folders, noise, small_test

from nacre import CodecInfo, Codes, audio
from nacre.audio.loudness import loudness
from nacre.errors import InputError
from nacre.evaluation.listening import making
from nacre.evaluation.listening.making import Entrant, Options, make
from nacre.evaluation.listening.plan import REFERENCE, Kind, read_plan
from nacre.evaluation.listening.stimuli import matched
from nacre.evaluation.systems import CodecSystem, Setting


def test_a_mushra_folder_has_everything_at_one_loudness(tmp_path: Path) -> None:
    folder, plan = small_test(tmp_path)
    assert read_plan(folder) == plan
    assert [each.role for each in plan.conditions] == [REFERENCE, "anchor35", "anchor70", "codec", "codec"]
    for item in plan.items:
        sounds = {name: audio.read(folder / place) for name, place in item.sounds.items()}
        assert {each.samples.shape for each in sounds.values()} == {(1, 1, RATE)}
        for each in sounds.values():
            assert loudness(each.samples[0], RATE) == pytest.approx(-23, abs=0.1)
        spectrum = np.abs(np.fft.rfft(sounds["anchor35"].samples[0, 0]))
        assert spectrum[4_500:].max() < 0.01 * spectrum[:3_500].max()
    names = " ".join(place for item in plan.items for place in item.sounds.values())
    assert BAD not in names and "anchor" not in names and "reference" not in names


@pytest.mark.parametrize(("kind", "pages"), [("ab", 4), ("abx", 8), ("acr", 6)])
def test_other_kinds_have_their_pages(tmp_path: Path, kind: Kind, pages: int) -> None:
    _, plan = small_test(tmp_path, kind, repeats=2)
    assert len(plan.trials()) == pages
    assert {each.name for each in plan.conditions} == {BAD, FAIR} | ({REFERENCE} if kind != "ab" else set())


def test_codecs_are_coded_and_their_bits_counted(tmp_path: Path) -> None:
    pytest.importorskip("av")
    folders(tmp_path, 1)
    options = Options(kind="acr", title="t", consent="Own words.", training=tmp_path / BAD / "clip0.wav")
    plan = make(tmp_path / "test", [tmp_path / "data"], [Entrant("Opus", codec="opus", bitrate=24_000)], options)
    assert plan.condition("Opus").kbps == pytest.approx(24, rel=0.35)
    assert plan.consent == "Own words."
    assert plan.training.sounds["Opus"] != plan.items[0].sounds["Opus"]


def test_two_channels_stay_two(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    audio.write(tmp_path / "data" / "a.wav", np.concatenate([noise(0), noise(1)]), RATE)
    one = Entrant("same", folder=tmp_path / "data")
    plan = make(tmp_path / "test", [tmp_path / "data"], [one], Options())
    assert audio.read(tmp_path / "test" / plan.items[0].sounds["same"]).samples.shape == (1, 2, RATE)


class Swap:
    """A codec of two channels that it codes together: it gives each the other's sound."""

    info = CodecInfo("swap", "", RATE, 2, 100, (16,))

    def encode(self, wave: np.ndarray, levels: int) -> Codes:
        self.heard = wave
        return Codes((np.zeros((1, wave.shape[2] // 100), np.int64),) * levels, wave.shape[2], self.info)

    def decode(self, codes: Codes) -> np.ndarray:
        return self.heard[:, ::-1]


def test_channels_that_a_codec_codes_together_are_coded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = np.concatenate([noise(0), noise(1)])
    system = CodecSystem("swap", Swap())  # type: ignore[arg-type]
    (coded,) = system.code(both, RATE, [Setting(4000, 1)])
    assert np.array_equal(coded.wave, both[::-1])
    (mono,) = system.code(both[0], RATE, [Setting(4000, 1)])
    assert np.allclose(mono.wave, both[0], atol=1e-6) and mono.bytes == coded.bytes
    monkeypatch.setattr(making, "open_system", lambda name: system)
    (tmp_path / "data").mkdir()
    audio.write(tmp_path / "data" / "a.wav", both, RATE)
    plan = make(tmp_path / "test", [tmp_path / "data"], [Entrant("swap", codec="swap", bitrate=4000)], Options())
    assert plan.condition("swap").kbps == pytest.approx(8 * coded.bytes / 1000, abs=1e-3)  # not one stream a channel


@pytest.mark.parametrize("error", [InputError("no"), KeyboardInterrupt()])
def test_half_a_test_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    one, _ = folders(tmp_path, 2)

    def stops(sounds: dict[str, np.ndarray], *others: Any) -> dict[str, np.ndarray]:
        if (tmp_path / "test" / "sounds" / "0").exists():
            raise error
        return matched(sounds, *others)

    monkeypatch.setattr(making, "matched", stops)
    with pytest.raises(type(error)):
        make(tmp_path / "test", [tmp_path / "data"], [one], Options())
    monkeypatch.undo()
    assert make(tmp_path / "test", [tmp_path / "data"], [one], Options()).items


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    one, two = folders(tmp_path, 1)
    data, place = [tmp_path / "data"], tmp_path / "test"
    audio.write(tmp_path / "long.wav", noise(0, 13), RATE)
    audio.write(tmp_path / "low.wav", noise(0, 2), 8_000)
    audio.write(tmp_path / "other.wav", noise(0), RATE)
    many = [Entrant(str(i), folder=tmp_path / "data") for i in range(10)]
    for originals, entrants, options, words in (
        (data, [one], Options(kind="ab"), "at least 2 to compare, got 1"),
        (data, [one, one], Options(), "two codecs are named 'bad'"),
        (data, many, Options(), "room for 9 codecs"),
        ([*data, *data], [one], Options(), "two originals are named 'clip0'"),
        ([tmp_path / "absent"], [one], Options(), "does not exist"),
        ([tmp_path / "long.wav"], [one], Options(), "lasts 13.0 s"),
        ([tmp_path / "low.wav"], [one], Options(), "sampled at 8000 Hz; MUSHRA"),
        ([tmp_path / "other.wav"], [one], Options(kind="acr"), "no sound named other"),
        (data, [Entrant("Opus", codec="opus")], Options(), "as opus@12k"),
        (data, [Entrant("x", codec="no-such-codec")], Options(), "no codec 'no-such-codec'"),
    ):
        with pytest.raises(InputError, match=words):
            make(place, originals, entrants, options)
    make(tmp_path / "made", data, [one, two], Options(kind="ab"))
    with pytest.raises(InputError, match="holds a listening test already"):
        make(tmp_path / "made", data, [one], Options())
