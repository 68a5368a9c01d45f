"""What several training processes do together so that all hold the same codebooks.

Every function is called by all processes in the same order, whatever their data: nothing here can hang because
one process found nothing to do. With one process they are plain local work.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def reduce_sum(x: Tensor) -> Tensor:
    """The sum of `x` over all processes, the same bits on each."""
    if processes() > 1:
        dist.all_reduce(x)
    return x


def share_first(x: Tensor) -> Tensor:
    """The first process's `x`, on all."""
    if processes() > 1:
        x = x.contiguous()
        dist.broadcast(x, 0)
    return x


def gathered_sample(x: Tensor, most: int, exact: bool = False) -> Tensor:
    """Rows drawn at random from the `x` `[N, D]` of all processes, the same on each: `[at most `most`, D]`.

    `exact` gives exactly `most` rows, repeating some where there are fewer. N may differ between processes.
    """
    world = processes()
    if world == 1:
        return x if len(x) <= most and not exact else _draw(x, most)
    own = _draw(x, -(-most // world))
    parts = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(parts, own)
    return torch.stack(parts, dim=1).flatten(0, 1)[:most]  # turn about, so that no process is left out


def _draw(x: Tensor, count: int) -> Tensor:
    if len(x) >= count:
        index = torch.randperm(len(x), device=x.device)[:count]
    else:
        index = torch.randint(len(x), (count,), device=x.device)
    return x[index]
