"""Several processes on this machine that train as one, and what each of them saw and ended with."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from small_run import small_recipe
from torch import Tensor

from nacre.training import checkpoint as store
from nacre.training import data as data_module
from nacre.training import run as run_module
from nacre.training.checkpoint import Checkpoint
from nacre.training.run import Data, train
from nacre.training.trainer import Trainer


@dataclass(frozen=True)
class Job:
    """One run of a tiny pearl in `out/run`; what rank N ended with goes to `out/rank-N`."""

    sound: str | Path
    out: Path
    settings: tuple[str, ...] = ()
    start: Path | None = None
    weights: Path | None = None
    resume: bool = False
    from_disk: int = 0  # worker processes of each that read crops from disk; 0: sound is held in memory


def together(world: int, job: Job, seconds: float = 240.0) -> list[Checkpoint]:
    """Train in `world` processes, which may not take longer than this; what each ended with."""
    context = mp.spawn(_process, (world, _free_port(), job), nprocs=world, join=False)
    deadline = time.monotonic() + seconds
    while not context.join(timeout=1):
        if time.monotonic() > deadline:
            for each in context.processes:
                each.kill()
            pytest.fail(f"{world} processes were not done after {seconds:g} s")
    return [Checkpoint(job.out / f"rank-{rank}", 0) for rank in range(world)]


def same_everywhere(ranks: list[Checkpoint], *names: str) -> None:
    """All processes ended with the same models, to the bit."""
    for name in names:
        first, *others = (rank.tensors(name) for rank in ranks)
        for other in others:
            assert first.keys() == other.keys() and all(torch.equal(first[key], other[key]) for key in first), name


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _process(rank: int, world: int, port: int, job: Job) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if not torch.accelerator.is_available():
        os.environ.pop("ACCELERATE_USE_CPU", None)  # as it is for anyone who types torchrun
    if job.from_disk:
        data_module.fits = lambda *_: False
    place = job.out / f"rank-{rank}"

    class Watched(Trainer):
        """Tells what it drew and what it ended with."""

        drawn: list[Any]

        def _draw(self) -> tuple[Tensor, Tensor]:
            real, heard = super()._draw()
            self.drawn = [*getattr(self, "drawn", []), real[:, 0, 0].tolist()]
            return real, heard

        def run(self, *arguments: Any) -> None:
            super().run(*arguments)
            place.mkdir(parents=True, exist_ok=True)
            (place / "drawn.json").write_text(json.dumps(getattr(self, "drawn", [])))
            for name, model in self._models().items():
                store.write_tensors(place, name, model.state_dict())

    run_module.Trainer = Watched  # type: ignore[misc]
    data = Data(job.sound, workers=job.from_disk)
    out, recipe = job.out / "run", small_recipe(*job.settings)
    train(recipe, data, out, start=job.start, weights=job.weights, resume=job.resume)
