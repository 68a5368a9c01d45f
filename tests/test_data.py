"""Crops come from the right places, from memory and disk alike, and never run from one clip into another."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from pathlib import Path

import corpora
import numpy as np
import pytest
import torch
from torch import Tensor

from nacre.errors import DamagedError, InputError
from nacre.training import data
from nacre.training.crops import Crops, CropSpec
from nacre.training.data import Corpus, MemoryCorpus, StreamingCorpus, open_corpus

SPEC = CropSpec(length=100, batch_size=8, seed=2)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return open_corpus(corpora.write_ramps(tmp_path / "data"), corpora.RATE)


def serve(corpus: Corpus, way: str, spec: CropSpec) -> Crops:
    return corpus.memory(spec) if way == "memory" else corpus.streaming(spec)


@pytest.mark.parametrize("way", ["memory", "streaming"])
def test_every_crop_is_one_stretch_of_one_clip(corpus: Corpus, way: str) -> None:
    crops = serve(corpus, way, SPEC)
    clips, starts = crops.plan.locate(0, crops.plan.slots)
    for first in range(0, 24, 8):
        batch = crops.batch(first)
        assert batch.dtype == torch.float32
        assert batch.shape == (8, 1, 100)
        for crop, clip, start in zip(batch.numpy(), clips[first:], starts[first:], strict=False):
            heard = min(100, corpora.LENGTHS[clip])
            of, places = corpora.places(crop[0, :heard])
            assert set(of) == {clip}
            assert places.tolist() == list(range(start, start + heard))
            assert (crop[0, heard:] == 0).all()


@pytest.mark.parametrize("way", ["memory", "streaming"])
def test_short_clips_may_be_repeated(tmp_path: Path, way: str) -> None:
    corpus = open_corpus(corpora.write_ramps(tmp_path / "data", lengths=(60, 7)), corpora.RATE)
    batch = serve(corpus, way, replace(SPEC, loop=True)).batch(0)
    for crop in batch.numpy():
        of, places = corpora.places(crop[0])
        assert places.tolist() == [n % (60, 7)[of[0]] for n in range(100)]
    assert {int(corpora.places(crop[0])[0][0]) for crop in batch.numpy()} == {0, 1}


def test_a_corpus_shorter_than_a_crop_is_served(tmp_path: Path) -> None:
    corpus = open_corpus(corpora.write_ramps(tmp_path / "data", lengths=(30,)), corpora.RATE)
    batch = corpus.memory(replace(SPEC, batch_size=2)).batch(5)
    assert torch.equal(batch, corpus.streaming(replace(SPEC, batch_size=2)).batch(5))
    assert batch.count_nonzero() == 2 * 29  # the first sample of the ramp is 0


@pytest.mark.parametrize("channels", [1, 2])
def test_memory_and_disk_serve_the_same(tmp_path: Path, channels: int) -> None:
    for i, (kind, rate) in enumerate([("wav", 8000), ("flac", 16000), ("ogg", 24000)]):
        wave = corpora.voice(1.5, rate, channels=1 + i % 2, seed=i)
        (tmp_path / f"{i}.{kind}").write_bytes(corpora.sound_bytes(wave, rate, kind.upper()))
    corpus = open_corpus(tmp_path, corpora.RATE, channels)
    spec = CropSpec(length=2000, batch_size=9)
    memory, disk = corpus.memory(spec), corpus.streaming(spec)
    for samples in (0, 9, 900):
        assert memory.batch(samples).shape == (9, channels, 2000)
        torch.testing.assert_close(memory.batch(samples), disk.batch(samples), rtol=0, atol=5e-3)
    only = open_corpus(sorted(tmp_path.glob("*.[wf]*")), corpora.RATE, channels)  # no lossy decoder that meets a seek
    torch.testing.assert_close(only.memory(spec).batch(0), only.streaming(spec).batch(0), rtol=0, atol=2 / 32768)


def test_two_channels_stay_apart(tmp_path: Path) -> None:
    stereo = np.stack([corpora.ramp(1, 300), corpora.ramp(3, 300)], axis=1)
    (tmp_path / "a.wav").write_bytes(corpora.sound_bytes(stereo))
    for crops in (open_corpus(tmp_path, corpora.RATE, 2).memory(SPEC), open_corpus(tmp_path, 8000, 2).streaming(SPEC)):
        left, right = crops.batch(0).numpy()[0]
        assert set(corpora.places(left)[0]) == {1}
        assert set(corpora.places(right)[0]) == {3}


@pytest.mark.parametrize("way", ["memory", "streaming"])
def test_a_resumed_corpus_goes_on_in_the_middle_of_an_epoch(corpus: Corpus, way: str) -> None:
    crops = serve(corpus, way, SPEC)
    batches = iter(crops)
    for _ in range(3):
        next(batches)
    state = crops.state_dict()
    wanted = [next(batches) for _ in range(4)]  # into the next epoch
    again = serve(corpus, way, SPEC)
    again.load_state_dict(state)
    assert 0 < state["samples"] < crops.plan.slots < crops.samples
    for got, batch in zip(itertools.islice(iter(again), 4), wanted, strict=True):
        assert torch.equal(got, batch)


def test_broken_clips_are_logged_once_and_others_drawn(corpus: Corpus, caplog: pytest.LogCaptureFixture) -> None:
    whole = corpus.streaming(SPEC)
    Path(corpus.clips[4].path).write_bytes(b"gone bad")
    crops = corpus.streaming(SPEC)
    with caplog.at_level(logging.WARNING):
        batch = torch.cat([crops.batch(n) for n in (0, 8, 16)])
    assert [record.getMessage() for record in caplog.records] == [
        f"{corpus.clips[4].path} cannot be read as sound: Format not recognised.; other crops are drawn instead"
    ]
    assert list(crops.broken) == [4]
    drawn, _ = whole.plan.locate(0, 24)
    for crop, clip in zip(batch.numpy(), drawn, strict=True):
        assert (corpora.places(crop[0])[0][0] == clip) == (clip != 4)
    fresh = corpus.streaming(SPEC)
    assert torch.equal(fresh.batch(16), batch[16:])  # what is drawn instead depends on nothing that went before


def test_a_stream_of_broken_clips_ends(corpus: Corpus) -> None:
    for clip in corpus.clips:
        Path(clip.path).unlink()
    with pytest.raises(DamagedError, match=r"20 crops in a row could not be read; the last: .*\.wav cannot be read"):
        corpus.streaming(SPEC).batch(0)
    with pytest.raises(DamagedError, match="no clip could be decoded"):
        corpus.memory(SPEC)


def test_a_corpus_knows_its_size(corpus: Corpus) -> None:
    assert corpus.seconds == pytest.approx(sum(corpora.LENGTHS) / corpora.RATE)
    assert corpus.size == 2 * sum(corpora.LENGTHS)
    assert replace(corpus, sample_rate=16000, channels=2).size == 8 * sum(corpora.LENGTHS)


def test_it_is_served_from_where_it_fits(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(corpus.crops(SPEC), MemoryCorpus)
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(data, "fits", lambda device, size: bool(asked.append((device, size))))
    assert isinstance(corpus.crops(SPEC, "cuda"), StreamingCorpus)
    assert asked == [("cuda", corpus.size), ("cpu", corpus.size)]
    monkeypatch.setattr(data, "fits", lambda device, size: device == "cpu")
    crops = corpus.crops(SPEC, "cuda")
    assert isinstance(crops, MemoryCorpus)
    assert crops.device.type == "cpu"
    monkeypatch.setattr(data, "fits", lambda device, size: device == "meta")
    assert isinstance(corpus.crops(SPEC, "meta"), StreamingCorpus)  # it would have to be decoded on the CPU first


def test_exclusions_and_warnings_reach_the_corpus(tmp_path: Path) -> None:
    folder = corpora.write_ramps(tmp_path / "data")
    (folder / "9.wav").write_bytes(b"no sound")
    many = np.zeros((50, 9), np.int16)
    (folder / "many.wav").write_bytes(corpora.sound_bytes(many))
    corpus = open_corpus(folder, corpora.RATE, exclude=["1", "[23]"], cache=tmp_path / "cache")
    assert [clip.key for clip in corpus.clips] == ["0", "4"]
    assert [Path(warning.split()[0]).name for warning in corpus.warnings] == ["9.wav", "many.wav"]
    assert open_corpus(folder, corpora.RATE, exclude=["1", "[23]"], cache=tmp_path / "cache") == corpus
    with pytest.raises(InputError, match="none of 1 clips can be used"):
        open_corpus(folder / "many.wav", corpora.RATE)


def test_other_sizes_than_memory_change_nothing_of_the_order(corpus: Corpus) -> None:
    def first(spec: CropSpec) -> Tensor:
        return corpus.memory(spec).batch(0)

    assert torch.equal(first(replace(SPEC, batch_size=3)), first(SPEC)[:3])
    assert not torch.equal(first(replace(SPEC, seed=3)), first(SPEC))
    assert torch.equal(first(replace(SPEC, batch_size=4, rank=1, world=2)), first(SPEC)[4:])
