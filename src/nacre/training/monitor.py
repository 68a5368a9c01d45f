"""Alarms: what goes wrong in training codecs, said while it can still be mended, each with what to try.

An alarm is raised once, and again only after all was well in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..errors import InputError

YOUNG = 500  # steps before codebooks and discriminators are judged
FEW_ENTRIES = 0.1  # share of a codebook's entries, in use or as perplexity, under which it has collapsed
OUTRIGHT = 0.05  # of a guesser's loss: discriminators below that see through every wave
IN_A_ROW = 25  # steps into nowhere before a run is given up: a gradient scale of fp16 may need 17 to come down


@runtime_checkable
class Measured(Protocol):
    """A quantizer that knows how much of its codebooks is used."""

    codebook_sizes: tuple[int, ...]

    def usage(self) -> Sequence[float]:
        """Each level's share of entries that training used of late."""
        ...

    def perplexity(self) -> Sequence[float]:
        """Each level's perplexity of late."""
        ...


@dataclass
class SkipGuard:
    """Counts steps that had no finite gradient, and gives up when they do not end."""

    skipped: int = 0
    in_a_row: int = 0

    def see(self, norm: float) -> None:
        """A step whose gradients had this norm."""
        if math.isfinite(norm):
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= IN_A_ROW:
            raise InputError(
                f"the loss or its gradients were not finite for {IN_A_ROW} steps in a row and training stopped; go on "
                "from the last checkpoint with --resume and a lower lr, a smaller clip, or precision = 'fp32'"
            )


class Alarms:
    """Which alarms are on, and how many skipped steps were told of; a run that resumes hands both in."""

    def __init__(self, on: Iterable[str] = (), skipped: int = 0) -> None:
        self.on = set(on)
        self._skipped = skipped

    def check(self, step: int, figures: Mapping[str, Any]) -> list[str]:
        """New alarms in a row of figures, as sentences."""
        alarms = self._skips(figures)
        if step >= YOUNG:
            alarms |= self._collapse(figures) | self._outright(figures)
        new = [sentence for name, sentence in alarms.items() if name not in self.on]
        self.on = set(alarms)
        return new

    def _skips(self, figures: Mapping[str, Any]) -> dict[str, str]:
        news, self._skipped = figures.get("skipped", 0) - self._skipped, figures.get("skipped", 0)
        if news <= 0:
            return {}
        return {
            "skips": f"{news} steps were skipped because their gradients were not finite; if that goes on, try a lower "
            "lr, a smaller clip, or bf16 in place of fp16"
        }

    def _collapse(self, figures: Mapping[str, Any]) -> dict[str, str]:
        sizes = figures.get("codebook_sizes", ())
        if "usage" not in figures:  # a quantizer that keeps no count
            return {}
        levels = zip(sizes, figures["usage"], figures["perplexity"], strict=True)
        return {
            f"level {k}": f"level {k + 1} has collapsed: it uses {used:.0%} of its {size} entries (perplexity "
            f"{perplexity:.0f}); try a larger batch, a lower lr, more weight on commitment, or codebooks that learn by "
            "moving averages and revive dead entries"
            for k, (size, used, perplexity) in enumerate(levels)
            if min(used, perplexity / size) < FEW_ENTRIES and perplexity < size / 2
        }

    def _outright(self, figures: Mapping[str, Any]) -> dict[str, str]:
        loss = figures.get("discriminator")
        if loss is None or not loss < OUTRIGHT:
            return {}
        return {
            "outright": f"the discriminators win outright (their loss is {loss:.1%} of a guesser's), so the codec "
            "learns nothing from them; try a lower discriminator_lr, a later adversarial_start, or fewer families"
        }


def codebook_figures(quantizer: Any) -> dict[str, Any]:
    """Use and perplexity of every level, where the quantizer keeps count."""
    if not isinstance(quantizer, Measured):
        return {}
    return {"usage": [*quantizer.usage()], "perplexity": [*quantizer.perplexity()]}
