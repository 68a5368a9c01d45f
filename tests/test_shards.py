"""Whatever holds training sound is found, in one order; what is broken is named, what is excluded is left out."""

from __future__ import annotations

import os
from pathlib import Path

import corpora
import pytest

from nacre.errors import InputError
from nacre.training import shards
from nacre.training.shards import find_clips

NOISE = Path("/work/shared/corpus/noise-00.tar")


def wav(clip: int, length: int = 300) -> bytes:
    return corpora.sound_bytes(corpora.ramp(clip, length))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    deep = tmp_path / "data" / "b" / "c"
    corpora.write_ramps(tmp_path / "data", lengths=(300, 400))
    corpora.write_ramps(deep, ".flac", (200,))
    (deep / "d.OGG").write_bytes(corpora.sound_bytes(corpora.voice(1.0), kind="OGG"))
    (tmp_path / "data" / ".hidden.wav").write_bytes(b"not looked at")
    (tmp_path / "data" / "notes.txt").write_text("nor this")
    return tmp_path / "data"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    sounds = {"one.wav": wav(0), "sub/two.flac": corpora.sound_bytes(corpora.ramp(1, 500), kind="FLAC")}
    sounds |= {"three.opus": corpora.sound_bytes(corpora.voice(0.5), kind="OGG"), "read.me": b"not sound"}
    return corpora.write_shard(tmp_path / "s-00.tar", sounds, {"one": "set:Ann", "sub/two": "set:Bob"})


def keys(source: shards.Source, **options: object) -> list[str]:
    return [clip.key for clip in find_clips(source, **options).clips]  # type: ignore[arg-type]


def test_a_folder_is_searched_to_any_depth_in_a_fixed_order(folder: Path) -> None:
    index = find_clips(folder)
    assert [clip.key for clip in index.clips] == ["0", "1", "0", "d"]
    assert [clip.frames for clip in index.clips] == [300, 400, 200, 8000]
    assert index.warnings == ()


def test_a_shard_gives_keys_speakers_and_places(shard: Path) -> None:
    index = find_clips(shard)
    assert [(clip.key, clip.speaker, clip.frames) for clip in index.clips] == [
        ("one", "set:Ann", 300),
        ("sub/two", "set:Bob", 500),
        ("three", "", 4000),
    ]
    assert shard.read_bytes()[index.clips[0].offset :].startswith(wav(0))


def test_lists_globs_commas_and_sequences_name_the_same(folder: Path, shard: Path, tmp_path: Path) -> None:
    wanted = ["0", "1", "one", "sub/two", "three"]
    listing = tmp_path / "list.txt"
    listing.write_text(f"# two ways to name a file\ndata/0.wav\n{folder / '1.wav'}\n\ns-00.tar\n")
    assert keys(listing) == wanted
    assert keys([folder / "0.wav", str(folder / "1.wav"), shard]) == wanted
    assert keys(f"{folder}/*.wav, {tmp_path}/s-*.tar") == wanted
    assert keys([folder / "0.wav", folder / "0.wav"]) == ["0"]  # once


def test_a_comma_in_a_name_that_is_there_splits_nothing(tmp_path: Path) -> None:
    corpora.write_ramps(tmp_path / "a,b", lengths=(300,))
    assert keys(str(tmp_path / "a,b")) == ["0"]


@pytest.mark.parametrize("pattern", ["set:Ann", "*:Ann", "on?", "one"])
def test_exclusions_match_keys_and_speakers(shard: Path, pattern: str) -> None:
    assert keys(shard, exclude=[pattern]) == ["sub/two", "three"]


def test_exclusions_may_come_from_a_file_or_name_a_path(shard: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "HELDOUT.txt").write_text("# never trained on\nset:Ann\nset:Bob\n")
    assert keys(shard, exclude=[tmp_path / "HELDOUT.txt"]) == ["three"]
    assert keys(shard, exclude=str(tmp_path / "HELDOUT.txt")) == ["three"]
    assert keys(folder, exclude=["*/b/c/*"]) == ["0", "1"]


def test_broken_files_are_named_and_the_rest_is_used(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.wav").write_bytes(b"RIFF....")
    corpora.write_shard(folder / "t.tar", {"fine.wav": wav(3), "worse.flac": b"fLaC" + bytes(50)})
    (tmp_path / "list.txt").write_text("data\ndata/0.wav\nlost.wav\ndata/t.tar\ndata/bad.wav\n")
    index = find_clips(tmp_path / "list.txt")
    assert [clip.key for clip in index.clips] == ["0", "fine"]
    for warning, name in zip(index.warnings, ("data", "lost.wav", "worse in", "bad.wav"), strict=True):
        assert name in warning


def test_a_shard_cut_short_gives_what_is_whole(shard: Path) -> None:
    second = find_clips(shard).clips[1]
    shard.write_bytes(shard.read_bytes()[: second.offset + 40])
    index = find_clips(shard)
    assert [clip.key for clip in index.clips] == ["one"]
    assert any("s-00.tar" in warning for warning in index.warnings)


def test_nothing_found_says_what_was_looked_for(tmp_path: Path, shard: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no training sound in .*empty: 0 files looked at.*\.flac"):
        find_clips(tmp_path / "empty")
    with pytest.raises(InputError, match="3 clips excluded"):
        find_clips(shard, exclude=["*"])
    with pytest.raises(InputError, match=r"there is no training sound at .*nowhere"):
        find_clips(tmp_path / "nowhere")
    (tmp_path / "movie.mkv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="neither a sound file known by its suffix nor a readable text list"):
        find_clips(tmp_path / "movie.mkv")


def test_the_index_is_found_again_until_something_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find_clips(folder, cache=tmp_path / "cache")
    scans: list[object] = []
    scan = shards._scan
    monkeypatch.setattr(shards, "_scan", lambda paths: scans.append(paths) or scan(paths))
    assert find_clips(folder, cache=tmp_path / "cache") == first
    assert scans == []
    os.utime(folder / "0.wav", (1, 1))
    assert find_clips(folder, cache=tmp_path / "cache") == first
    assert len(scans) == 1
    corpora.write_ramps(folder, lengths=(300, 400, 500))
    assert len(find_clips(folder, cache=tmp_path / "cache").clips) == 5
    assert len(scans) == 2


def test_a_damaged_index_is_made_anew(folder: Path, tmp_path: Path) -> None:
    first = find_clips(folder, cache=tmp_path / "cache")
    (stored,) = (tmp_path / "cache").iterdir()
    for damage in ('{"clips": [[1]], "warnings": []}', '{"clips": ', "[]"):
        stored.write_text(damage)
        assert find_clips(folder, cache=tmp_path / "cache") == first


@pytest.mark.skipif(not NOISE.exists(), reason="the training corpus is not here")
def test_the_noise_shard_is_whole() -> None:
    index = find_clips(NOISE)
    assert len(index.clips) == 239
    assert index.warnings == ()
    assert {(clip.sample_rate, clip.channels) for clip in index.clips} == {(24000, 1)}
