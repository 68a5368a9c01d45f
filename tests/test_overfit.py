"""Each architecture learns two seconds of speech: `--scale small`, real trainer, no discriminators, 80 to 360 steps."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from speech import RATE, speech

from nacre.audio import read, write
from nacre.codecs.base import Codec
from nacre.contract import Wave
from nacre.evaluation.distances import mel_distance
from nacre.training.augment import Augment
from nacre.training.checkpoint import Checkpoints
from nacre.training.recipe import ARCHITECTURES
from nacre.training.run import stages_for, train

os.environ["ACCELERATE_USE_CPU"] = "true"
QUICK = ("crop=0.25", "lr=1e-3")
REACHED: dict[str, tuple[int, float, tuple[str, ...]]] = {  # steps, mel distance at most, settings
    "pearl-24k": (200, 3.4, ()),
    "soundstream-24k": (200, 4.1, ()),
    "encodec-24k": (80, 4.5, QUICK),
    "dac-16k": (80, 4.3, QUICK),
    "snac-24k": (80, 4.1, QUICK),
    "hilcodec-speech": (80, 3.4, QUICK),
    "hificodec-16k-320d": (80, 4.2, QUICK),
    "hac-v1.1": (80, 4.1, QUICK),
    "hac-v1.3": (120, 5.0, QUICK),
    "nac-2023": (120, 5.2, QUICK),
    "audiodec-24k-sym": (360, 3.4, QUICK),
}


def heard(codec: Codec, wave: Wave) -> float:
    """How far what the codec makes of a wave is from it."""
    codec.eval()
    coded = codec.decode(codec.encode(wave))
    return mel_distance(wave[0, 0], np.asarray(coded)[0, 0], codec.info.sample_rate)


def test_every_architecture_is_here() -> None:
    assert {stages_for(name)[0].architecture for name in REACHED} == ARCHITECTURES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", REACHED)
def test_two_seconds_are_learnt(name: str, tmp_path: Path) -> None:
    steps, bound, more = REACHED[name]
    settings = [f"steps={steps}", f"checkpoint_every={steps}", "adversarial_on_cpu=false", *more]
    recipe = replace(stages_for(name, settings, scale="small")[0], augment=Augment(), stage=0)
    clip = tmp_path / "clip.wav"
    write(clip, speech(2.0)[None], RATE)
    torch.manual_seed(recipe.seed)
    codec = recipe.build()
    wave = read(clip, codec.info.sample_rate, codec.info.channels).samples
    before = heard(codec, wave)
    train(recipe, clip, tmp_path / "run")
    codec.load_state_dict(Checkpoints(tmp_path / "run").last().tensors("average"))
    assert heard(codec, wave) <= bound < 0.9 * before
