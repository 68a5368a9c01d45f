"""train(): from sound and a recipe to weights, in as many sittings as it takes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..codecs.base import Codec
from ..errors import InputError, MissingError
from .augment import Augmenter
from .batches import Batches
from .checkpoint import RECIPE, Checkpoint, Checkpoints
from .crops import Crops, CropSpec
from .data import open_corpus
from .journal import Bar, Journal, clock
from .recipe import Recipe, read_recipe
from .shards import Source
from .trainer import Material, Trainer, adversarial
from .weights import finish, load_discriminators, load_generator

if TYPE_CHECKING:
    from accelerate import Accelerator

SHOWN_WARNINGS = 10  # of files that could not be used
LITTLE = 1800.0  # seconds of sound; with less a codec that starts from nothing learns them by heart
VALIDATION_SEED = 7919  # other places of the sound than training begins with


@dataclass(frozen=True)
class Data:
    """What to train on: folders, lists or shards, as `find_clips` reads them."""

    source: Source
    exclude: Sequence[str | Path] = ()  # clips, speakers or lists of them that are never heard
    background: Source | None = None  # noise and music that augmentation mixes in
    validation: Source | None = None  # what checkpoints are judged by; else places of `source`
    cache: Path | None = None  # where decoded sound is kept between runs
    workers: int = 2  # processes that read from disk where the sound does not fit into memory


def train(
    recipe: Recipe,
    data: Data | Source,
    out: str | Path,
    *,
    resume: bool = False,
    start: str | Path | None = None,
    weights: str | Path | None = None,
    show: bool = False,
) -> Path:
    """Train `recipe` on `data` in the folder `out` and return it.

    `resume` goes on from the last checkpoint in `out`, or begins where there is none. `start` is a folder of weights
    to begin from (fine-tuning), discriminators too where it has any. `weights` is where the result goes in the end,
    as `finish` writes it. `show` tells of progress on standard error. Under torchrun every process calls this with
    the same arguments; ACCELERATE_USE_CPU=true keeps it off a GPU.
    """
    data = data if isinstance(data, Data) else Data(data)
    out, accelerator = Path(out), _accelerator()
    checkpoints = Checkpoints(out, recipe.keep_last, recipe.keep_best)
    checkpoint = _to_resume(checkpoints, resume)
    accelerator.wait_for_everyone()  # nobody writes before all have looked
    seed_all(recipe.seed)
    codec = recipe.build()
    if start and not checkpoint:
        load_generator(codec, start)
    bar = Bar(show and accelerator.is_main_process)
    with closing(bar), closing(open_material(recipe, codec, data, accelerator, bar)) as material:
        journal = Journal(out if accelerator.is_main_process else None, checkpoint.step if checkpoint else 0, bar)
        with closing(journal):
            for sentence in _opening(recipe, material, fresh=not (start or checkpoint)):
                bar.say(sentence)
            trainer = Trainer(recipe, codec, material, accelerator)
            seed_all(recipe.seed + 1 + accelerator.process_index)  # built alike, trained each on other draws
            _begin(trainer, checkpoint, start, journal)
            trainer.run(journal, checkpoints)
    if weights and accelerator.is_main_process:
        finish(out, weights)
    if accelerator.num_processes > 1:
        accelerator.end_training()
    return out


def recipe_for(
    path: str | Path | None,
    overrides: Iterable[str] = (),
    start: str | Path | None = None,
    out: str | Path | None = None,
) -> Recipe:
    """The recipe in `path`; without one that beside the weights in `start`, or that of the run in `out`."""
    if path is None and start is not None:
        path = Path(start) / RECIPE
    elif path is None and out is not None and Checkpoints(out).all():
        path = Checkpoints(out).last().folder / RECIPE
    if path is None:
        raise InputError("training needs a recipe: name a TOML file, weights to start from, or a run to resume")
    return read_recipe(path, overrides)


def open_material(
    recipe: Recipe, codec: Codec, data: Data, accelerator: Accelerator, bar: Bar | None = None
) -> Material:
    """The batches of this process and the clips that checkpoints are judged by; `bar` tells how far decoding is."""
    rate, channels = codec.info.sample_rate, codec.info.channels
    length = round(recipe.crop * rate)
    corpus = open_corpus(data.source, rate, channels, exclude=data.exclude, cache=data.cache)
    judge = corpus if data.validation is None else open_corpus(data.validation, rate, channels, cache=data.cache)

    def spec(samples: int, seed: int) -> CropSpec:
        return CropSpec(samples, recipe.batch, seed, accelerator.process_index, accelerator.num_processes)

    background: Crops | None = None
    if data.background is not None and recipe.augment.mix:
        noise = open_corpus(data.background, rate, channels, cache=data.cache)
        background = noise.crops(spec(length, recipe.seed + 1), accelerator.device)
    with accelerator.main_process_first():  # which decodes into the cache that the others read
        augmenter = Augmenter(
            recipe.augment, rate, length, seed=recipe.seed, rank=accelerator.process_index, background=background
        )
        crops = corpus.crops(
            spec(augmenter.source_length, recipe.seed), accelerator.device, bar.decoding if bar else None
        )
    batches = Batches(crops, augmenter, accelerator.device, data.workers)
    fixed = judge.streaming(CropSpec(length, recipe.validation_clips, VALIDATION_SEED))
    return Material(batches, fixed.batch(0), corpus.warnings, corpus.seconds)


def _opening(recipe: Recipe, material: Material, fresh: bool) -> Iterator[str]:
    """What a run is, and what may be wrong with it."""
    yield from material.warnings[:SHOWN_WARNINGS]
    length = f"{recipe.minutes:g} minutes" if recipe.minutes else f"{recipe.steps} steps"
    sound = clock(material.seconds)
    yield f"{recipe.name}: {length} of {recipe.batch} crops of {recipe.crop:g} s, from {sound} of sound"
    if fresh and material.seconds < LITTLE:
        yield "so little sound is soon learnt by heart; give more, or go on from trained weights with --from"


def seed_all(seed: int) -> None:
    """Every generator of random numbers starts from `seed`."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _begin(trainer: Trainer, checkpoint: Checkpoint | None, start: str | Path | None, journal: Journal) -> None:
    recipe = trainer.recipe
    if checkpoint:
        trainer.resume(checkpoint)
        journal.bar.say(f"going on from step {checkpoint.step} of {checkpoint.folder}")
    elif start and trainer.adversary:
        for sentence in load_discriminators(trainer.adversary.model, start):
            journal.bar.say(sentence)
    if recipe.discriminators and not adversarial(recipe, trainer.accelerator.device):
        journal.bar.say("no discriminators on a CPU, where they are slow; set adversarial_on_cpu=true to have them")


def _to_resume(checkpoints: Checkpoints, resume: bool) -> Checkpoint | None:
    found = checkpoints.all()
    if found and not resume:
        raise InputError(f"{checkpoints.folder.parent} holds a run already; resume it, or choose another folder")
    return found[-1] if found else None


def _accelerator() -> Accelerator:
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingError("training needs accelerate; pip install 'nacre[train]'") from error
    alone = not torch.accelerator.is_available()  # else it takes several processes without a GPU for strangers
    return Accelerator(cpu=alone, mixed_precision="no")
