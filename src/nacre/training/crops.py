"""Which crop comes as the n-th: the order of training data, the same from memory and from disk.

An epoch is a shuffled list of slots: each clip has one for every crop length it holds, at least one, and in each
slot a crop begins at a random place of its own share of the clip. So clips count by their length, no crop crosses
from one clip into another, and none comes twice in an epoch, on whatever rank. The n-th crop is a pure function of
seed and n: resuming exactly means going on from the same n.

`B` batch, `C` channel, `T` sample.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from ..errors import InputError

Places = NDArray[np.int64]


@dataclass(frozen=True)
class CropSpec:
    """What one process draws."""

    length: int  # samples of a crop
    batch_size: int  # crops a batch, on this process
    seed: int = 0
    rank: int = 0  # this process of
    world: int = 1  # so many
    loop: bool = False  # clips shorter than a crop are repeated; else silence follows them

    def __post_init__(self) -> None:
        """Check."""
        if min(self.length, self.batch_size) < 1 or not 0 <= self.rank < self.world or self.seed < 0:
            raise InputError(f"expected positive sizes, a seed from 0 and a rank below the world size, got {self}")


class CropPlan:
    """Which crop comes as the n-th: a pure function of clip lengths, crop length, seed and n."""

    def __init__(self, lengths: Places, length: int, seed: int) -> None:
        self.lengths, self.length, self.seed = lengths, length, seed
        self._counts = np.maximum(1, np.rint(lengths / length).astype(np.int64))
        self._ends = np.cumsum(self._counts)
        self.slots = int(self._ends[-1])  # crops an epoch
        self._epochs: dict[int, tuple[Places, NDArray[np.float64]]] = {}

    def locate(self, place: int, count: int) -> tuple[Places, Places]:
        """Clip and start in it, in samples, of the crops `place` to `place + count`."""
        numbers = np.arange(place, place + count)
        slots, jitter = np.empty(count, np.int64), np.empty(count)
        for epoch in np.unique(numbers // self.slots):
            here = numbers // self.slots == epoch
            order, shift = self._epoch(int(epoch))
            slots[here] = order[numbers[here] % self.slots]
            jitter[here] = shift[slots[here]]
        return self.resolve(slots, jitter)

    def resolve(self, slots: Places, jitter: NDArray[np.float64]) -> tuple[Places, Places]:
        """Clip and start of a crop in each slot, `jitter` in [0, 1) of the way through the slot's share."""
        clips = np.searchsorted(self._ends, slots, side="right")
        number = slots - (self._ends[clips] - self._counts[clips])
        room = np.maximum(0, self.lengths[clips] - self.length)
        starts = ((number + jitter) / self._counts[clips] * (room + 1)).astype(np.int64)
        return clips, np.minimum(starts, room)

    def _epoch(self, epoch: int) -> tuple[Places, NDArray[np.float64]]:
        """Order of the slots and how far into its share each crop begins."""
        known = self._epochs.get(epoch)
        if known is None:
            random = np.random.default_rng([self.seed, epoch])
            known = random.permutation(self.slots), random.random(self.slots)
            last = self._epochs.get(epoch - 1)  # a batch may lie in two epochs
            self._epochs = {epoch: known} | ({epoch - 1: last} if last else {})
        return known  # not looked up again: a thread that fetches ahead may be elsewhere


class Crops(ABC):
    """Endless batches; `samples` says how many crops all ranks together have had, and is all there is to resume.

    `sample_rate` and `channels` are those of every batch.
    """

    def __init__(self, lengths: Places, spec: CropSpec, sample_rate: int, channels: int) -> None:
        self.spec, self.sample_rate, self.channels = spec, sample_rate, channels
        self.plan = CropPlan(lengths, spec.length, spec.seed)
        self.samples = 0

    @property
    def step(self) -> int:
        """Crops that all ranks together take at once."""
        return self.spec.batch_size * self.spec.world

    @property
    def epoch(self) -> float:
        """Times through the corpus so far."""
        return self.samples / self.plan.slots

    def batch(self, samples: int) -> Tensor:
        """This rank's batch float32 `[B, C, T]` when all ranks together have had `samples` crops."""
        place = samples + self.spec.rank * self.spec.batch_size
        return self._cut(place, *self.plan.locate(place, self.spec.batch_size))

    @abstractmethod
    def _cut(self, place: int, clips: Places, starts: Places) -> Tensor:
        """The crops that begin at `starts` in `clips`, `[B, C, T]`."""

    def __iter__(self) -> Iterator[Tensor]:
        """Batches from `samples` on, without end; a DataLoader's workers take turns."""
        worker = get_worker_info()
        place, step = self.samples, self.step
        if worker is not None:
            place, step = place + worker.id * step, step * worker.num_workers
        while True:
            batch = self.batch(place)
            place += step
            self.samples = place  # before handing out: what was seen counts
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on with the very next crop; the same on all ranks."""
        return {"samples": self.samples, "seed": self.spec.seed, "slots": self.plan.slots}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; other data, crop length or seed are refused, since nothing would be exact."""
        here = self.state_dict()
        if (state["seed"], state["slots"]) != (here["seed"], here["slots"]):
            raise InputError(
                f"cannot resume: the run had seed {state['seed']} and {state['slots']} crops an epoch, now it is seed "
                f"{here['seed']} and {here['slots']}; resume with the same data, or start a new run from its weights"
            )
        self.samples = int(state["samples"])
