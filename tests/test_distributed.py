"""Four processes train as one with a larger batch: one codec, the same losses, no crop twice, and exactly on again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import corpora
import numpy as np
import pytest
import torch
from small_run import CLOCKED, make_sound, rows, small_recipe
from together import Job, same_everywhere, together

from nacre.training.checkpoint import Checkpoint, Checkpoints
from nacre.training.run import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs torch with gloo"),
]
WORLD = 4
OTHER = (*CLOCKED, "progress")  # metrics that are not compared
# nothing that each process draws for itself
PLAIN = ("augment.gain=0", "augment.polarity=0", "codec.dropout=[2]", "codec.lost=0", "batch=2")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound(tmp_path_factory.mktemp("sound"))


def drawn(ranks: list[Checkpoint]) -> list[list[float]]:
    """The first sample of every crop, a list a step, those of all processes together."""
    steps = zip(*(json.loads((rank.folder / "drawn.json").read_text()) for rank in ranks), strict=True)
    return [[sample for crops in step for sample in crops] for step in steps]


def test_four_processes_end_with_one_codec(sound: Path, tmp_path: Path) -> None:
    settings = ("steps=8", "batch=2", "adversarial_start=3", "checkpoint_every=4", "balancer=true", "keep_last=9")
    ranks = together(WORLD, Job(sound, tmp_path / "whole", settings))
    same_everywhere(ranks, "generator", "average", "discriminators", "balancer")
    last = Checkpoints(tmp_path / "whole" / "run").last()
    assert (last.step, last.state["processes"], last.state["data"]["samples"]) == (8, WORLD, 8 * WORLD * 2)
    generators = [str(last.own(rank)) for rank in range(WORLD)]
    assert len(set(generators)) == WORLD  # each draws on from a place of its own
    # cut off after four steps, in the middle of an epoch, and on again
    run = tmp_path / "cut" / "run"
    run.mkdir(parents=True)
    shutil.copytree(Checkpoints(tmp_path / "whole" / "run").all()[0].folder, run / "checkpoints" / "step-00000004")
    shutil.copy(tmp_path / "whole" / "run" / "metrics.jsonl", run)
    again = together(WORLD, Job(sound, tmp_path / "cut", settings, resume=True))
    same_everywhere(again, "generator", "average", "discriminators", "balancer")
    assert drawn(again) == drawn(ranks)[4:]
    for name in ("generator", "average", "discriminators"):  # sums of four come in another order after a start
        torch.testing.assert_close(again[0].tensors(name), ranks[0].tensors(name), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(rows(run, OTHER), rows(tmp_path / "whole" / "run", OTHER), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-5) for name in ours)


def test_four_processes_learn_what_one_learns_from_a_larger_batch(sound: Path, tmp_path: Path) -> None:
    begun = tmp_path / "weights"
    train(small_recipe(*PLAIN, "steps=20", "adversarial_on_cpu=false"), sound, tmp_path / "first", weights=begun)
    settings = (*PLAIN, "steps=10", "adversarial_start=3", "discriminator_warmup=0")
    ranks = together(WORLD, Job(sound, tmp_path / "four", settings, start=begun))
    same_everywhere(ranks, "generator", "average", "discriminators")
    train(small_recipe(*settings, "batch=8"), sound, tmp_path / "one", start=begun)
    four, one = (
        [row for row in rows(run, OTHER) if "loss" in row] for run in (tmp_path / "four" / "run", tmp_path / "one")
    )
    assert len(four) == len(one) == 10
    for ours, theirs in zip(four, one, strict=True):
        for name in ("mel", "complex_stft", "log_snr", "commitment"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3), (name, ours["step"])
        assert ours["perplexity"] == pytest.approx(theirs["perplexity"], rel=1e-2)
        assert "feature" not in ours or ours["feature"] == pytest.approx(theirs["feature"], rel=0.05)


def test_shards_are_dealt_to_processes_and_their_workers(tmp_path: Path) -> None:
    """Sixteen clips of one crop each, in four shards, read by two workers of each of four processes."""
    for i in range(4):
        clips = range(4 * i, 4 * i + 4)
        sounds = {f"{clip}.wav": corpora.sound_bytes(corpora.ramp(clip, 1700)) for clip in clips}
        corpora.write_shard(tmp_path / f"shard-{i}.tar", sounds)
    source = f"{tmp_path}/shard-*.tar"
    settings = (*PLAIN, "discriminators=[]", "validation_clips=1", "checkpoint_every=100")
    seen = []
    for steps, resume in ((3, False), (6, True)):  # an epoch is two steps: cut off in the middle of the second
        job = Job(source, tmp_path / "out", (*settings, f"steps={steps}"), resume=resume, from_disk=2)
        seen += drawn(together(WORLD, job))
    assert len(seen) == 6
    for epoch in range(3):
        samples = np.array(seen[2 * epoch] + seen[2 * epoch + 1], np.float32)
        clips, places = corpora.places(samples)
        assert sorted(clips.tolist()) == list(range(16))
        assert (places <= 100).all()  # a crop of 1600 samples begins in the first hundred of its 1700
