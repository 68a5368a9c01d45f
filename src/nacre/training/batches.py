"""Batches ready on the device, fetched ahead where that helps, and how long training waited for them.

`B` batch, `C` channel, `T` sample.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .augment import Augmenter
from .crops import Crops
from .data import MemoryCorpus, StreamingCorpus

_AHEAD = 3  # batches fetched before they are asked for, by each worker


class Batches:
    """An endless iterator of batches float32 `[B, C, T]` on `device`; use it as a context manager or close it.

    Crops that lie on `device` are cut when asked for. Others are fetched ahead: from disk by `workers` processes
    (0: by a thread). `state_dict` counts what was handed out, not what was fetched ahead.
    """

    def __init__(
        self, crops: Crops, augmenter: Augmenter | None = None, device: torch.device | str = "cpu", workers: int = 0
    ) -> None:
        self.crops, self._augmenter = crops, augmenter
        self.device = torch.empty(0, device=device).device  # "cuda" is its present card
        self._workers = workers if isinstance(crops, StreamingCorpus) else 0
        self._source: Iterator[Tensor] | None = None
        self._stop: threading.Event | None = None
        self.reset_clock()

    def __iter__(self) -> Batches:
        """Itself."""
        return self

    def __next__(self) -> Tensor:
        """The next batch."""
        begun = time.perf_counter()
        if self._source is None:
            self._source = self._open()
        place = self.crops.samples
        wave = next(self._source).to(self.device, non_blocking=True)
        if self._augmenter is not None:
            wave = self._augmenter(wave, place)
        self.crops.samples = place + self.crops.step
        self._waited += time.perf_counter() - begun
        self._given += self.crops.spec.batch_size
        return wave

    def _open(self) -> Iterator[Tensor]:
        if isinstance(self.crops, MemoryCorpus) and self.crops.device == self.device:
            return self._cut()
        return self._loaded() if self._workers else self._threaded()

    def _cut(self) -> Iterator[Tensor]:
        while True:
            yield self.crops.batch(self.crops.samples)

    def _loaded(self) -> Iterator[Tensor]:
        # Not fork, torch's default on Linux: a copy of a process with threads may wait for ever for their locks.
        safe = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        loader: DataLoader[Tensor] = DataLoader(
            self.crops,  # type: ignore[arg-type]  # _workers is 0 unless it is a dataset
            batch_size=None,
            num_workers=self._workers,
            prefetch_factor=_AHEAD,
            pin_memory=self.device.type == "cuda",
            multiprocessing_context=safe,
        )
        return iter(loader)

    def _threaded(self) -> Iterator[Tensor]:
        ready: queue.Queue[Tensor | BaseException] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        threading.Thread(target=self._fetch, args=(ready, self._stop, self.crops.samples), daemon=True).start()
        while True:
            batch = ready.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch

    def _fetch(self, ready: queue.Queue[Tensor | BaseException], stop: threading.Event, place: int) -> None:
        """Fill `ready` from crop `place` on until `stop` is set; an error goes to whoever asks for the batch."""
        while not stop.is_set():
            try:
                item: Tensor | BaseException = self.crops.batch(place)
                if isinstance(item, Tensor) and self.device.type == "cuda":
                    item = item.pin_memory()
            except Exception as error:  # noqa: BLE001 - raised again where the batch is asked for
                item = error
            place += self.crops.step
            while not stop.is_set():
                with suppress(queue.Full):
                    ready.put(item, timeout=0.1)
                    break
            if isinstance(item, BaseException):
                return

    @property
    def wait_share(self) -> float:
        """Part of the time since `reset_clock` spent waiting for batches, 0 to 1."""
        return self._waited / max(time.perf_counter() - self._since, 1e-9)

    @property
    def crops_per_second(self) -> float:
        """Crops handed out a second since `reset_clock`, on this rank."""
        return self._given / max(time.perf_counter() - self._since, 1e-9)

    def reset_clock(self) -> None:
        """Measure anew from now on."""
        self._since, self._waited, self._given = time.perf_counter(), 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on with the very next batch."""
        return self.crops.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; what was fetched ahead is dropped."""
        self.close()
        self.crops.load_state_dict(state)

    def close(self) -> None:
        """Stop fetching ahead; the next batch begins anew from where this came to."""
        if self._stop is not None:
            self._stop.set()
        self._source = self._stop = None

    def __enter__(self) -> Batches:
        """Itself; leaving closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
