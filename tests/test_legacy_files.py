"""Files of earlier codecs on the command line: sound to them and back, with models written as their projects do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_lyra import write_small_lyra

from nacre import cli, legacy_files, load, read, write
from nacre.audio.loudness import loudness
from nacre.codecs import dac, encodec, encodec_lm, nac2023, vocos
from nacre.container import legacy
from nacre.converters.dac_windows import decode_dac, resampled
from nacre.converters.from_encodec_lm import to_encodec_lm
from nacre.converters.from_nac2023 import to_nac2023
from nacre.converters.from_vocos import to_vocos
from nacre.converters.to_files import save_as
from nacre.nn.seanet import SEANetConfig

LEGACY = Path(__file__).parent / "golden" / "legacy"
Captured = pytest.CaptureFixture[str]


def call(*words: str) -> int:
    return cli.run(words)


def noise(samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(samples).normal(0, 0.1, (1, channels, samples)).astype(np.float32)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with sounds and with narrow models of the released shapes; nothing is cached, nothing can be fetched."""
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NACRE_MIRROR", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    write("talk.wav", noise(7_210), 24_000)
    write("song.wav", noise(9_001, 2), 22_050)
    narrow = replace(encodec.PRESETS["encodec-24k"], seanet=SEANetConfig(dim=8, filters=2))
    monkeypatch.setitem(encodec.PRESETS, "encodec-24k", narrow)
    made = encodec.EnCodec(narrow, "encodec-24k")
    for level in made.quantizer.levels:
        level.codebook.entries.normal_(0, 0.1)
    save_as(made.eval(), "e.th", "encodec")
    config = dac.DACConfig(encoder_dim=2, decoder_dim=32, latent=16)
    monkeypatch.setitem(dac.PRESETS, "dac-44k", config)
    save_as(dac.DAC(config, "dac-44k").eval(), "d.pth", "dac")
    return tmp_path


def test_ecdc_there_and_back(here: Path, capfd: Captured) -> None:
    assert call("encode", "talk.wav", "talk.ecdc", "-m", "encodec-24k", "--from", "e.th", "-b", "3k") == 0
    assert legacy.read("talk.ecdc").metadata == {"m": "encodec_24khz", "al": 7_210, "nc": 4, "lm": False}
    assert call("decode", "talk.ecdc", "back.wav", "--encoding", "float32", "--from", "e.th") == 0
    codec, wave = load("encodec-24k", file="e.th"), read("talk.wav").samples
    said = codec.decode(codec.encode(wave, 4))
    assert np.array_equal(read("back.wav").samples, said)
    assert call("convert", "talk.ecdc", "moved.nac") == 0  # which knows no more of who made it
    assert call("decode", "moved.nac", "moved.wav", "--encoding", "float32", "--from", "e.th") == 0
    assert np.array_equal(read("moved.wav").samples, said)
    assert "4 of 32" in (call("info", "talk.ecdc"), capfd.readouterr().out)[1]
    words = (
        "decode",
        "talk.ecdc",
        "part.wav",
        "--encoding",
        "float32",
        "--from",
        "e.th",
        "--start",
        "0.1",
        "--stop",
        "0.2",
    )
    assert call(*words, "-b", "1.5k") == 0
    assert np.array_equal(read("part.wav").samples, codec.decode(codec.encode(wave, 2))[:, :, 2_400:4_800])


def test_a_file_fetches_nothing_and_says_what_does(here: Path, capfd: Captured) -> None:
    assert call("decode", str(LEGACY / "24k-1500.ecdc"), "a.wav") == 1
    said = capfd.readouterr().err
    assert (
        "made by encodec-24k, which is not on this machine; name it to have it downloaded: --model encodec-24k" in said
    )
    assert call("decode", str(LEGACY / "padded.dac"), "a.wav") == 1
    assert "--model dac-44k (licence of its weights: MIT)" in capfd.readouterr().err
    assert not Path("a.wav").exists() and not Path("cache").exists()


def test_a_language_model_packs_and_unpacks(here: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    config = encodec_lm.EnCodecLMConfig(dim=8, heads=2, layers=1)
    monkeypatch.setitem(encodec_lm.PRESETS, "encodec-lm-24k", config)
    torch.save(to_encodec_lm(encodec_lm.EnCodecLM(config)), "lm.th")
    model = ("-m", "encodec-24k", "--from", "e.th", "-q")
    assert call("encode", "talk.wav", "p.ecdc", *model, "-b", "3k", "--lm", "lm.th") == 0
    assert call("encode", "talk.wav", "plain.ecdc", *model, "-b", "3k") == 0
    assert Path("p.ecdc").read_bytes() != Path("plain.ecdc").read_bytes()
    assert call("info", "p.ecdc", "--json") == 0
    assert json.loads(capfd.readouterr().out)["metadata"] == {"m": "encodec_24khz", "al": 7_210, "nc": 4, "lm": True}
    assert call("decode", "p.ecdc", "p.wav", *model) == 1
    assert "packed with encodec-lm-24k, which is not on this machine" in capfd.readouterr().err
    assert call("decode", "p.ecdc", "p.wav", *model, "--lm", "lm.th") == 0
    assert call("decode", "plain.ecdc", "plain.wav", *model) == 0
    assert Path("p.wav").read_bytes() == Path("plain.wav").read_bytes()
    assert call("decode", "p.ecdc", "q.wav", *model, "--lm", "encodec-lm-48k") == 1
    assert "codes of encodec-24k are packed with encodec-lm-24k, got encodec-lm-48k" in capfd.readouterr().err
    assert call("encode", "talk.wav", "p.nac", *model, "--lm", "lm.th") == 1
    assert "a language model packs .ecdc files only" in capfd.readouterr().err
    assert call("encode", "talk.wav", "x.nac", "-m", "encodec-lm-24k") == 1
    assert "encodec-lm-24k is no codec: it packs .ecdc files; name it with --lm" in capfd.readouterr().err


def test_dac_keeps_channels_rate_and_loudness(here: Path, capfd: Captured) -> None:
    assert call("encode", "song.wav", "song.dac", "-m", "dac-44k", "--from", "d.pth") == 0
    assert call("decode", "song.dac", "back.wav", "--encoding", "float32", "--from", "d.pth") == 0
    back = read("back.wav")
    assert back.sample_rate == 22_050 and back.samples.shape == (1, 2, 9_001)
    codec = load("dac-44k", file="d.pth")
    wave, rate = decode_dac(codec, Path("song.dac").read_bytes())
    assert rate == 22_050 and np.array_equal(back.samples, wave)
    song = read("song.wav").samples
    told = legacy.read("song.dac", "dac-44k").metadata["input_db"]
    assert told == pytest.approx([loudness(resampled(song[0], rate, 44_100), 44_100)], abs=1e-4)
    write("soft.wav", song / 4, rate, encoding="float32")
    assert call("encode", "soft.wav", "soft.dac", "-m", "dac-44k", "--from", "d.pth") == 0
    soft = decode_dac(codec, Path("soft.dac").read_bytes())[0]
    assert np.abs(4 * soft - wave).max() < 1e-3 * np.abs(wave).max()
    assert call("info", "song.dac") == 0
    assert ".dac of the Descript Audio Codec" in capfd.readouterr().out
    assert call("encode", "song.wav", "few.dac", "-m", "dac-44k", "--from", "d.pth", "-b", "3k") == 0
    assert len(legacy.read("few.dac", "dac-44k").codes.levels) == 3


def test_the_nac_of_2023_is_sound_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = nac2023.NAC2023Config(filters=2, dim=8)
    monkeypatch.setitem(nac2023.PRESETS, "nac-2023", config)
    made = nac2023.NAC2023(config, "nac-2023").eval()
    torch.save({"model_state_dict": to_nac2023(made)}, "n.pth")
    assert call("decode", str(LEGACY / "length.nac"), "a.wav", "--encoding", "float32", "--from", "n.pth") == 0
    codec, codes = load("nac-2023", file="n.pth"), legacy.read(LEGACY / "length.nac").codes
    assert np.array_equal(read("a.wav").samples, codec.decode(codes.made_by(codec.info)))


def test_lyra_needs_no_torch_and_its_bitrate(here: Path, capfd: Captured) -> None:
    write_small_lyra(Path("coeffs"))
    model = ("-m", "lyra-v2", "--from", "coeffs")
    assert call("encode", "talk.wav", "talk.lyra", *model, "-b", "6k") == 0
    assert Path("talk.lyra").stat().st_size == 16 * 15  # 0.3 s, and a frame that is not whole
    assert call("decode", "talk.lyra", "a.wav", *model) == 1
    assert call("info", "talk.lyra") == 1
    assert (
        capfd.readouterr().err.count("a .lyra file does not say its bitrate; name it: --bitrate 3200, 6000 or 9200")
        == 2
    )
    assert call("info", "talk.lyra", "-b", "6000") == 0
    assert "30 of 46" in capfd.readouterr().out
    assert call("decode", "talk.lyra", "a.wav", *model, "-b", "6k", "--encoding", "float32") == 0
    assert call("convert", "talk.lyra", "moved.nac", "-b", "6k") == 0
    assert call("convert", "moved.nac", "again.lyra") == 0
    assert Path("again.lyra").read_bytes() == Path("talk.lyra").read_bytes()
    codec = load("lyra-v2", file="coeffs")
    codes = codec.encode(read("talk.wav", 16_000).samples, 30)
    whole = replace(codes, length=codes.frames * 320)
    assert np.array_equal(read("a.wav").samples, codec.decode(whole))
    assert call("encode", "talk.wav", "b.lyra", *model, "-b", "5k") == 1
    assert "16, 30 or 46 levels" in capfd.readouterr().err


def test_vocos_decodes_what_encodec_said(here: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    whole = vocos.PRESETS["vocos-encodec-24k"]
    sizes = replace(whole.vocoder, features=8, dim=12, hidden=20, layers=2)
    monkeypatch.setitem(vocos.PRESETS, "vocos-encodec-24k", replace(whole, vocoder=sizes))
    torch.save(to_vocos(vocos.TokenVocos(vocos.PRESETS["vocos-encodec-24k"])), "v.bin")
    for name in ("talk.nac", "talk.ecdc"):
        assert call("encode", "talk.wav", name, "-m", "encodec-24k", "--from", "e.th", "-b", "3k", "-q") == 0
        assert call("decode", name, f"{name}.wav", "-m", "vocos-encodec-24k", "--from", "v.bin", "-q") == 0
    assert read("talk.nac.wav").samples.shape == (1, 1, 7_210)
    assert Path("talk.nac.wav").read_bytes() == Path("talk.ecdc.wav").read_bytes()
    assert call("encode", "talk.wav", "x.nac", "-m", "vocos-encodec-24k", "--from", "v.bin") == 1
    assert "vocos-encodec-24k only decodes; encode with encodec-24k" in capfd.readouterr().err
    assert not Path("x.nac").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("encode", "talk.wav", "talk.wav2"), "goes into a .nac, .ecdc, .dac or .lyra file"),
        (("encode", "talk.wav", "talk.dac"), "a .dac file holds codes of dac-44k or dac-24k or"),
        (
            ("encode", "talk.wav", "t.ecdc", "-m", "encodec-24k", "--from", "e.th", "--tag", "a=b"),
            "a .ecdc file has no room for tags",
        ),
        (
            ("decode", str(LEGACY / "padded.dac"), "a.wav", "-m", "encodec-24k", "--from", "e.th"),
            "a .dac is written by dac-44k",
        ),
        (
            ("decode", str(LEGACY / "24k-1500.ecdc"), "a.wav", "-m", "dac-44k", "--from", "d.pth"),
            "made by encodec-24k (no digest), not by dac-44k",
        ),
        (
            ("decode", str(LEGACY / "24k-1500.ecdc"), "a.wav", "--from", "e.th", "--start", "99"),
            "s long, so nothing is from 99 s to its end",
        ),
    ],
)
def test_slips_end_in_a_sentence(here: Path, capfd: Captured, words: tuple[str, ...], sentence: str) -> None:
    assert call(*words) == 1
    assert sentence in capfd.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["d.pth", "e.th", "song.wav", "talk.wav"]


def test_what_a_file_is(here: Path) -> None:
    for name, kind in (("null.nac", "nac0"), ("48k-stereo.ecdc", "ecdc"), ("padded.dac", "dac")):
        assert legacy_files.kind_of(LEGACY / name) == kind
    Path("a.LYRA").touch()
    assert legacy_files.kind_of("a.LYRA") == "lyra"
    assert legacy_files.kind_of("talk.wav") is None and legacy_files.kind_of("none") is None
