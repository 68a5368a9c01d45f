"""Checkpoints: everything a run needs to go on as if nothing had happened, without a single pickle.

A run keeps them in `checkpoints/step-00012000/`: one safetensors file for each model and optimizer, `state.json` for
what all processes share, `process-0.json` ... for what each has of its own, and `recipe.toml`. A folder is written
under another name and renamed when it is whole, so whatever has the name `step-*` can be resumed from.
"""

from __future__ import annotations

import base64
import json
import math
import os
import random
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from ..errors import DamagedError, InputError, MissingError

FOLDER = "checkpoints"
STATE, RECIPE = "state.json", "recipe.toml"
_UNFINISHED = ".unfinished-"
_NAME = re.compile(r"step-(\d+)")

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """One whole checkpoint on disk."""

    folder: Path
    step: int

    def tensors(self, name: str) -> Tensors:
        """What `name.safetensors` holds, on the CPU."""
        try:
            return load_file(self.folder / f"{name}.safetensors")
        except (OSError, SafetensorError) as error:
            raise DamagedError(f"{self.folder} cannot be read: {name}.safetensors is missing or broken") from error

    def has(self, name: str) -> bool:
        """Whether there is such a file of tensors."""
        return (self.folder / f"{name}.safetensors").is_file()

    @property
    def state(self) -> dict[str, Any]:
        """What all processes share: step, seconds, place in the data, score."""
        return self._json(STATE)

    def own(self, process: int) -> dict[str, Any] | None:
        """What that process had of its own, None where there was no such process."""
        return self._json(_own(process)) if (self.folder / _own(process)).is_file() else None

    @property
    def score(self) -> float:
        """How far validation clips were from their originals; infinite where nobody looked."""
        score = self.state.get("score")
        return math.inf if score is None else float(score)

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedError(f"{self.folder} cannot be read: {name} is missing or broken") from error
        return content


class Checkpoints:
    """The checkpoints of one run: the last few, and the best."""

    def __init__(self, run: str | Path, keep_last: int = 2, keep_best: bool = True) -> None:
        self.folder = Path(run) / FOLDER
        self.keep_last, self.keep_best = keep_last, keep_best

    def all(self) -> list[Checkpoint]:
        """Whole checkpoints, oldest first."""
        found = ((path, _NAME.fullmatch(path.name)) for path in self.folder.glob("step-*"))
        return sorted((Checkpoint(path, int(name[1])) for path, name in found if name), key=lambda each: each.step)

    def last(self) -> Checkpoint:
        """The newest."""
        if found := self.all():
            return found[-1]
        raise MissingError(f"no checkpoint in {self.folder}; train there first, or name the folder of another run")

    def best(self) -> Checkpoint:
        """The one with the lowest score, the newest of equals."""
        self.last()
        return min(reversed(self.all()), key=lambda each: each.score)

    def begin(self, step: int) -> Path:
        """An empty folder to write the checkpoint of `step` into; called by the first process only."""
        for left in self.folder.glob(f"{_UNFINISHED}*"):  # by a process that was killed
            shutil.rmtree(left)
        folder = self.unfinished(step)
        folder.mkdir(parents=True)
        return folder

    def unfinished(self, step: int) -> Path:
        """Where the checkpoint of `step` is being written."""
        return self.folder / f"{_UNFINISHED}{step:08d}"

    def publish(self, step: int) -> Checkpoint:
        """Give a folder its name, now that all of it is on the disk, and drop what need not be kept."""
        folder, final = self.unfinished(step), self.folder / f"step-{step:08d}"
        for path in [*folder.iterdir(), folder]:
            _to_disk(path)
        if final.exists():
            self._drop(final)
        folder.rename(final)
        _to_disk(self.folder)
        self._prune()
        return Checkpoint(final, step)

    def _prune(self) -> None:
        kept = {each.folder for each in self.all()[-self.keep_last :]}
        if self.keep_best:
            kept.add(self.best().folder)
        for each in self.all():
            if each.folder not in kept:
                self._drop(each.folder)

    def _drop(self, folder: Path) -> None:
        """Renamed first: half a folder must not look like a whole one."""
        away = folder.with_name(f"{_UNFINISHED}{folder.name}")
        folder.rename(away)
        shutil.rmtree(away)


def write_tensors(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write `folder/name.safetensors`; tensors that share memory are stored apart."""
    held = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    try:
        save_file(held, _file(folder, name))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{_file(folder, name)} cannot be written: {error}; is there room for it?") from error


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write what all processes share."""
    (folder / STATE).write_text(json.dumps(state, indent=1, allow_nan=False), "utf-8")


def write_own(folder: Path, process: int, own: Mapping[str, Any]) -> None:
    """Write what this process has of its own."""
    (folder / _own(process)).write_text(json.dumps(own, allow_nan=False), "utf-8")


def optimizer_tensors(optimizer: Optimizer) -> Tensors:
    """The optimizer's memory, flat: `12.exp_avg` is that of the thirteenth parameter. Settings are the recipe's."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, memory in state.items() for name, value in memory.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put `optimizer_tensors` back."""
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        i, _, name = key.partition(".")
        state.setdefault(int(i), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def random_state() -> dict[str, Any]:
    """All random generators of this process: Python's, numpy's, torch's and those of the GPUs."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "torch": _text(torch.get_rng_state()),
        "cuda": [_text(state) for state in cuda],
    }


def restore_random(state: Mapping[str, Any]) -> None:
    """Put `random_state` back."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(_bytes(state["torch"]))
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_bytes(each) for each in state["cuda"]])


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _own(process: int) -> str:
    return f"process-{process}.json"


def _text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def _to_disk(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, would survive a power cut."""
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) if path.is_dir() else os.O_RDONLY
    try:
        handle = os.open(path, flags)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
