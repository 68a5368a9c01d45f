"""train(): from sound and a recipe to weights, in as many sittings as it takes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..codecs.audiodec import AudioDec
from ..codecs.audiodec_statistics import measure, standardise
from ..codecs.audiodec_vocoder import Generator
from ..codecs.base import Codec
from ..errors import InputError, MissingError
from ..quantizers.ddp import share_first
from .augment import Augmenter
from .batches import Batches
from .checkpoint import RECIPE, Checkpoint, Checkpoints
from .crops import Crops, CropSpec
from .data import open_corpus
from .journal import Bar, Journal, clock
from .library import locate
from .recipe import Recipe, read_recipe
from .scale import rescaled
from .schedule import progress
from .shards import Source
from .stages import Stages, read_stages, stages_to_toml
from .trainer import Material, Trainer, adversarial, shares
from .weights import finish, last_stage, load_discriminators, load_generator
from .whisper import load_encoder

if TYPE_CHECKING:
    from accelerate import Accelerator

PATIENCE = timedelta(hours=3)  # of processes that wait for the first, which decodes: NCCL's own ten minutes are few
SHOWN_WARNINGS = 10  # of files that could not be used
LITTLE = 1800.0  # seconds of sound; with less a codec that starts from nothing learns them by heart
STATISTICS_CROPS = 2000  # that a vocoder's statistics are taken of
SCALES = ("full", "small")
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
    recipe: Recipe | Sequence[Recipe],
    data: Data | Source,
    out: str | Path,
    *,
    resume: bool = False,
    start: str | Path | None = None,
    weights: str | Path | None = None,
    show: bool = False,
) -> Path:
    """Train `recipe` on `data` in the folder `out` and return it.

    Of several stages, as `stages.read_stages` gives them, each runs in a folder of its own, `out/stage-1` and so on,
    from the weights that the one before left. `resume` goes on from the last checkpoint in `out`, or begins where there
    is none. `start` is a folder of weights or a run to begin from (fine-tuning), discriminators too where it has any.
    `weights` is where the result goes in the end, as `finish` writes it. `show` tells of progress on standard error.
    Under torchrun every process calls this with the same arguments; ACCELERATE_USE_CPU=true keeps it off a GPU.
    """
    stages = (recipe,) if isinstance(recipe, Recipe) else tuple(recipe)
    out, accelerator = Path(out), _accelerator()
    job = _Job(data if isinstance(data, Data) else Data(data), resume, show, accelerator)
    folders = [stage_folder(out, stage) for stage in stages]
    for stage, folder in zip(stages, folders, strict=True):
        _to_resume(Checkpoints(folder, stage.keep_last, stage.keep_best), resume)
    before = start or (None if Checkpoints(folders[0]).all() else _left_before(out, stages[0]))
    accelerator.wait_for_everyone()  # nobody writes before all have looked
    if len(stages) > 1 and accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        (out / RECIPE).write_text(stages_to_toml(stages), "utf-8")
    for stage, folder in zip(stages, folders, strict=True):
        if len(stages) == 1 or not _over(stage, folder):
            _train_stage(job, stage, folder, before)
        before = folder
    if weights and accelerator.is_main_process:
        finish(folders[-1], weights)
    with closing(Bar(show and accelerator.is_main_process)) as bar:
        bar.say(_done(out, weights))
    if accelerator.num_processes > 1:
        accelerator.end_training()
    return out


def _done(out: Path, weights: str | Path | None) -> str:
    """Where the result is, and how to use it."""
    if weights:
        return f"done: nacre encode SOUND FILE.nac --model {weights}"
    return f"done: the run is in {out}; --resume with --weights FOLDER makes of it a model for nacre encode"


@dataclass(frozen=True)
class _Job:
    """What all stages of a run share."""

    data: Data
    resume: bool
    show: bool
    accelerator: Accelerator


def stage_folder(out: str | Path, recipe: Recipe) -> Path:
    """Where a stage runs; where there is but one, in `out` itself."""
    return Path(out) / f"stage-{recipe.stage}" if recipe.stage else Path(out)


def _left_before(out: Path, recipe: Recipe) -> Path | None:
    """The run whose weights `recipe` goes on from, if it is not the first of its stages."""
    if recipe.stage < 2:
        return None
    folder = out / f"stage-{recipe.stage - 1}"
    if not Checkpoints(folder).all():
        raise InputError(
            f"stage {recipe.stage} goes on from stage {recipe.stage - 1}, of which nothing is in {out}; "
            "train that first, or name weights to begin from with --from"
        )
    return folder


def _over(recipe: Recipe, folder: Path) -> bool:
    """Whether a stage has come to its end."""
    found = Checkpoints(folder).all()
    return bool(found) and progress(recipe, found[-1].step, found[-1].state["seconds"]) >= 1


def _train_stage(job: _Job, recipe: Recipe, out: Path, start: str | Path | None) -> None:
    """One recipe from its first step, or from the last checkpoint in `out`, to its end."""
    accelerator, notes = job.accelerator, []
    checkpoints = Checkpoints(out, recipe.keep_last, recipe.keep_best)
    checkpoint = _to_resume(checkpoints, job.resume)
    recipe, absent = without_absent(recipe)
    if checkpoint:
        check_same(recipe, checkpoint, accelerator.device)
    accelerator.wait_for_everyone()
    seed_all(recipe.seed)
    codec = recipe.build()
    if start and not checkpoint:
        changed = ("decoder",) if {"encoder", "quantizer"} <= set(recipe.held) else ()
        notes = load_generator(codec, start, changed)
    bar = Bar(job.show and accelerator.is_main_process)
    with closing(bar), closing(open_material(recipe, codec, job.data, accelerator, bar)) as material:
        journal = Journal(out if accelerator.is_main_process else None, checkpoint.step if checkpoint else 0, bar)
        with closing(journal):
            for sentence in (*_opening(recipe, material, fresh=not (start or checkpoint)), *absent, *notes):
                bar.say(sentence)
            if notes and isinstance(codec, AudioDec) and isinstance(codec.decoder, Generator):
                bar.say(f"the vocoder is given statistics of {_give_statistics(codec, material.batches.crops)} crops")
            trainer = Trainer(recipe, codec, material, accelerator)
            seed_all(recipe.seed + 1 + accelerator.process_index)  # built alike, trained each on other draws
            _begin(trainer, checkpoint, start, journal)
            trainer.run(journal, checkpoints)


def _give_statistics(codec: AudioDec, crops: Crops) -> int:
    """Tell a fresh vocoder the mean and scale of its latents, the first process's for all; returns the crops heard."""
    codec.eval()
    batches = max(1, min(STATISTICS_CROPS, crops.plan.slots) // crops.step)
    found = measure(codec, (crops.batch(at * crops.step).cpu().numpy() for at in range(batches)))
    both = torch.from_numpy(np.stack([found.mean, found.scale])).to(_device())
    mean, scale = share_first(both).cpu().numpy()
    standardise(codec, replace(found, mean=mean, scale=scale))
    return batches * crops.step


def _device() -> torch.device | None:
    """The kind of accelerator to train on, if there is one: not Apple's, which has no float64 for codebooks' counts."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return None if found is None or found.type == "mps" else found


def stages_for(
    recipe: str | Path | None,
    overrides: Iterable[str] = (),
    start: str | Path | None = None,
    out: str | Path | None = None,
    scale: str = "full",
) -> Stages:
    """The stages of a recipe, given its name or file; without one that beside the weights in `start`, or of the run
    in `out`. `scale` "small" is for minutes on a CPU.
    """
    path = _recipe_at(recipe, start, out)
    if scale not in SCALES:
        raise InputError(f"a recipe comes in the scales {', '.join(SCALES)}, got {scale!r}")
    return read_stages(path, overrides) if scale == "full" else rescaled(read_stages(path), overrides)


def _recipe_at(recipe: str | Path | None, start: str | Path | None, out: str | Path | None) -> Path:
    if recipe is not None:
        return locate(recipe)
    for place in (start, out):
        found = Checkpoints(last_stage(place)).all() if place is not None else []
        for path in [Path(place) / RECIPE, *(each.folder / RECIPE for each in found[-1:])] if place is not None else []:
            if path.is_file():
                return path
    raise InputError(
        "training needs a recipe: name one of `nacre recipes` or a TOML file, weights to start from, or a run to resume"
    )


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
    with accelerator.main_process_first():  # which decodes into the cache that the others read
        if data.background is not None and recipe.augment.mix:
            others = open_corpus(data.background, rate, channels, cache=data.cache)
            background = others.crops(spec(length, recipe.seed + 1), accelerator.device)
        augmenter = Augmenter(
            recipe.augment, rate, length, seed=recipe.seed, rank=accelerator.process_index, background=background
        )
        crops = corpus.crops(
            spec(augmenter.source_length, recipe.seed), accelerator.device, bar.decoding if bar else None
        )
    batches = Batches(crops, augmenter, accelerator.device, data.workers)
    fixed = judge.streaming(CropSpec(length, recipe.validation_clips, VALIDATION_SEED))
    judged, adds, noisy = fixed.batch(0), None, None
    if recipe.noise.active:
        with accelerator.main_process_first():
            adds, judged, noisy = _noise(recipe, data, judged, spec(length, recipe.seed + 2), accelerator.device)
    return Material(batches, judged, adds, noisy, corpus.warnings, corpus.seconds)


def _noise(
    recipe: Recipe, data: Data, judged: Tensor, spec: CropSpec, device: torch.device
) -> tuple[Augmenter, Tensor, Tensor]:
    """What the codec hears on top of its crops and should leave out; the validation clips without and with it."""
    rate, channels = recipe.codec.sample_rate, judged.shape[1]
    if data.background is None and recipe.noise.mix:
        raise InputError("this recipe learns to leave noise out: name a folder of noise with --background")
    corpus = open_corpus(data.background, rate, channels, cache=data.cache) if data.background is not None else None
    few = CropSpec(spec.length, len(judged), VALIDATION_SEED)
    mixed = (corpus.crops(spec, device), corpus.streaming(few)) if corpus and recipe.noise.mix else (None, None)
    learnt, once = (
        Augmenter(recipe.noise, rate, each.length, seed=each.seed, rank=each.rank, background=background)
        for each, background in zip((spec, few), mixed, strict=True)
    )
    return learnt, *once.beside(judged.to(device), 0)


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
        fresh = load_discriminators(trainer.adversary.model, start)
        for sentence in fresh:
            journal.bar.say(sentence)
        if fresh and not recipe.stage and recipe.discriminator_warmup:
            trainer.warming = recipe.discriminator_warmup
            journal.bar.say(f"they learn alone for {trainer.warming} steps, and the codec stands still meanwhile")
    if recipe.discriminators and not adversarial(recipe, trainer.accelerator.device):
        journal.bar.say("no discriminators on a CPU, where they are slow; set adversarial_on_cpu=true to have them")


def without_absent(recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe without a loss whose model is not here, and a sentence for it."""
    if not recipe.weights.whisper:
        return recipe, ()
    try:
        load_encoder(recipe.whisper)
    except MissingError as error:
        left = replace(recipe, weights=replace(recipe.weights, whisper=0.0))
        return left, (f"the loss of what Whisper hears is left out: {error}",)
    return recipe, ()


def check_same(recipe: Recipe, checkpoint: Checkpoint, device: torch.device) -> None:
    """An error unless `recipe` can go on with what `checkpoint` holds."""
    before = read_recipe(checkpoint.folder / RECIPE)
    for key in ("architecture", "codec", "balancer"):
        if getattr(recipe, key) != getattr(before, key):
            raise InputError(
                f"{checkpoint.folder} cannot be resumed with another {key!r}; leave the recipe out to go on with the "
                "run's own, or begin a new run from it with --from"
            )
    now, then = (tuple(shares(each.weights).weights) for each in (recipe, before))
    if recipe.balancer and now != then:
        raise InputError(
            f"the balancer in {checkpoint.folder} weighs {', '.join(then)}, the recipe has {', '.join(now)}; resume "
            "with the same losses, or begin a new run from it with --from"
        )
    if not checkpoint.has("discriminators"):
        return
    if not adversarial(recipe, device):
        raise InputError(
            f"the discriminators in {checkpoint.folder} would be lost: this run has none, as on a CPU unless "
            "adversarial_on_cpu=true; set that, or begin a new run from it with --from"
        )
    if recipe.discriminators != before.discriminators:
        raise InputError(
            f"{checkpoint.folder} holds the discriminators {', '.join(before.discriminators)}, the recipe has "
            f"{', '.join(recipe.discriminators)}; resume with the same, or begin a new run from it with --from"
        )


def _to_resume(checkpoints: Checkpoints, resume: bool) -> Checkpoint | None:
    found = checkpoints.all()
    if found and not resume:
        place = checkpoints.folder.parent
        raise InputError(f"{place} holds a run already; resume it (--resume), or choose another folder (--out)")
    return found[-1] if found else None


def _accelerator() -> Accelerator:
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingError("training needs accelerate; pip install 'nacre[train]'") from error
    alone = _device() is None  # else it takes several processes without a GPU for strangers
    patience = InitProcessGroupKwargs(timeout=PATIENCE)
    return Accelerator(cpu=alone, mixed_precision="no", kwargs_handlers=[patience])
