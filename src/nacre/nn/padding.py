"""Where a layer that slides over time begins, ends and is cut between chunks.

One law for every convolution here: `T` positions give `ceil(T / stride)` frames, and frame `t` hears `span`
positions from `t * stride - left` on. What lies before the first and behind the last position is padding.

    left = span - stride        causal: frame t hears up to the end of its own stride
    left = half of that         centred: it hears right of its stride too, so a stream lags
    left = span - 1             early: it hears the first position of its stride only (AudioDec)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .state import State

Pad = Literal["zero", "reflect", "replicate"]  # what the positions outside the signal are


@dataclass(frozen=True)
class Kernel:
    """The shape of a sliding window. A transposed convolution takes `left` as the samples it cuts off its start."""

    size: int
    stride: int = 1
    dilation: int = 1
    left: int | None = None  # None is causal

    def __post_init__(self) -> None:
        if min(self.size, self.stride, self.dilation) < 1 or self.span < self.stride:
            raise InputError(f"expected a kernel no shorter than its stride, got {self}")
        if self.left is not None and not 0 <= self.left < self.span:
            raise InputError(f"expected 0 to {self.span - 1} positions left of a frame, got {self.left}")

    @property
    def span(self) -> int:
        """Positions from the first to the last that a frame hears."""
        return (self.size - 1) * self.dilation + 1

    @property
    def context(self) -> int:
        """Positions that a frame hears beyond its own stride."""
        return self.span - self.stride

    @property
    def past(self) -> int:
        """Positions that a frame hears before its stride."""
        return self.context if self.left is None else self.left

    @property
    def lag(self) -> int:
        """Positions that a stream waits for behind a stride: what the frame hears of the future."""
        return max(0, self.context - self.past)

    def centred(self) -> Kernel:
        """The same window around its stride; the left gets the odd position, as in SEANet."""
        return replace(self, left=self.context - self.context // 2)

    def early(self) -> Kernel:
        """The same window, ending with the first position of its stride, as in AudioDec."""
        return replace(self, left=self.span - 1)


def windows(layer: nn.Module, x: Tensor, state: State | None, kernel: Kernel, pad: Pad = "zero") -> Tensor:
    """`[B, C, T]` with its past before it, padded where the stream begins or ends; `state` moves on for `layer`.

    An unpadded convolution over the result gives the frames that are due; fewer than `kernel.span` positions
    give none. Reflected padding waits for the positions that it mirrors.
    """
    if kernel.span == 1:
        return x  # hears nothing beside, so there is nothing to pad or remember
    if pad != "zero" and state is not None and state.in_graph:
        return (_mirrored if pad == "reflect" else _repeated)(layer, x, state, kernel)
    ends = state is None or state.last
    if pad == "zero":
        held = _remember(layer, x, state)
        held = F.pad(x, (kernel.past, 0)) if held is None else held
        recent = x[..., :0]
    else:
        held, recent = _begin(layer, x, state, kernel, pad)
    if ends:
        held = _end(held, recent, kernel, pad)
    if state is not None:
        state.put(layer, _unused(held, kernel), *([] if pad == "zero" else [recent]))
        if state.ragged and kernel.stride > 1:  # what need not be there is not heard
            held = F.pad(held, (0, kernel.stride - 1))
    return held


def _remember(layer: nn.Module, x: Tensor, state: State | None) -> Tensor | None:
    kept = state.get(layer) if state is not None else None
    return None if kept is None else torch.cat([kept[0], x], dim=-1)


def _begin(layer: nn.Module, x: Tensor, state: State | None, kernel: Kernel, pad: Pad) -> tuple[Tensor, Tensor]:
    """Positions not used up yet, and the latest true ones, at least as many as padding can mirror.

    No more than `needed` true ones mean that the stream is still waiting for its left padding.
    """
    kept = state.get(layer) if state is not None else None
    needed = kernel.past if pad == "reflect" else 0
    recent = x if kept is None else torch.cat([kept[1], x], dim=-1)
    length = recent.shape[-1]
    ends = state is None or state.last
    if kept is not None and kept[1].shape[-1] > needed:
        held = torch.cat([kept[0], x], dim=-1)
    elif length > needed or (ends and length):
        # a stream too short to mirror goes on in zeros first
        short = max(0, needed + 1 - length)
        held = F.pad(recent, (0, short)) if short else recent
        held = _before(held, kernel.past, pad)[..., : kernel.past + length]
    else:
        held = x[..., :0]
    if state is None:
        return held, recent
    return held, recent[..., -(max(needed, kernel.lag + kernel.stride - 1) + 1) :]


def _before(x: Tensor, count: int, pad: Pad) -> Tensor:
    """`x` with `count` positions before it, mirrored or repeated: what `F.pad` gives, in half the time."""
    if torch.onnx.is_in_onnx_export():
        return F.pad(x, (count, 0), pad)
    edge = x[..., 1 : count + 1].flip(-1) if pad == "reflect" else x[..., :1].expand(*x.shape[:-1], count)
    return torch.cat([edge, x], dim=-1)


def _end(held: Tensor, recent: Tensor, kernel: Kernel, pad: Pad) -> Tensor:
    """Pad the right, so that as many frames come out as strides have begun."""
    frames = -((kernel.past - held.shape[-1]) // kernel.stride)
    right = (frames - 1) * kernel.stride + kernel.span - held.shape[-1]
    if frames <= 0 or right <= 0:
        return held
    if pad == "zero":
        return F.pad(held, (0, right))
    recent = recent[..., -(right + kernel.past + 1) :]  # no more than can be mirrored
    length = recent.shape[-1]
    short = max(0, max(right, kernel.past) + 1 - length) if pad == "reflect" else 0
    mirrored = F.pad(F.pad(recent, (0, short)), (0, right), pad)
    return torch.cat([held, mirrored[..., length : length + right]], dim=-1)


def _mirrored(layer: nn.Module, x: Tensor, state: State, kernel: Kernel) -> Tensor:
    """`windows` of a causal layer in a graph, for chunks of every length: of a start all that can be mirrored is there.

    The right is mirrored each time, by one position less than fills a frame, so what need not be there is not heard.
    """
    kept, past, stride = state.get(layer), kernel.past, kernel.stride
    assert past == kernel.context > 0, "graphs mirror for causal layers only"
    if kept is None:
        longer = F.pad(x, (0, past))  # a sound too short to mirror goes on in zeros first
        held = torch.cat([longer[..., 1 : past + 1].flip(-1), x], dim=-1)
    else:
        held = torch.cat([kept[0], x], dim=-1)
    state.put(layer, held[..., -past:])
    if stride == 1:
        return held
    right = held[..., -stride:-1].flip(-1)
    if kept is None:
        right = right * (x.shape[-1] > past)
    return torch.cat([held, right], dim=-1)


def _repeated(layer: nn.Module, x: Tensor, state: State, kernel: Kernel) -> Tensor:
    """`windows` of a causal layer in a graph: the ends are repeated. A mark tells a stream's beginning from silence.

    The right is repeated each time, by one position less than fills a frame.
    """
    kept, past = state.get(layer), kernel.past
    assert past == kernel.context > 0, "graphs repeat for causal layers only"
    first = x[..., :1].expand(-1, -1, past)
    before = first if kept is None else torch.where(kept[1] > 0, kept[0], first)
    held = torch.cat([before, x], dim=-1)
    state.put(layer, held[..., -past:], torch.ones_like(x[:, :1, :1]))
    if kernel.stride == 1:
        return held
    return torch.cat([held, held[..., -1:].expand(-1, -1, kernel.stride - 1)], dim=-1)


def _unused(held: Tensor, kernel: Kernel) -> Tensor:
    """What the next frame still needs."""
    if kernel.stride == 1:
        return held[..., -kernel.context :]
    frames = (held.shape[-1] - kernel.span) // kernel.stride + 1
    if kernel.past < kernel.context:
        frames = max(0, frames)  # a stream that waits for its future may hold less than one window
    return held[..., frames * kernel.stride :]


def spread(layer: nn.Module, x: Tensor, state: State | None, kernel: Kernel, pad: Pad = "zero") -> tuple[Tensor, slice]:
    """`[B, C, F]` with the frames before it that still sound, and which samples of their overlap-add are due.

    For transposed convolutions: `F.conv_transpose1d(frames, ...)[..., due]`. `kernel.left` samples are cut off
    the start, so a stream lags by as many and gets them with its last chunk.
    """
    kept = state.get(layer) if state is not None else None
    reach = -(-kernel.span // kernel.stride) - 1  # frames before a stride that still sound in it
    cut = kernel.left or 0
    if kept is not None:
        before = kept[0].shape[-1]
        x = torch.cat([_heard(kept, x), x], dim=-1)
    elif cut or (pad != "zero" and not x.shape[-1]):
        before = 0  # fewer frames than `reach` are all there ever were, so the start is still to be cut
    else:
        before = reach
        x = F.pad(x, (reach, 0), "constant" if pad == "zero" else pad)
    if state is not None and reach and x.shape[-1]:
        state.put(layer, x[..., -reach:], *([] if pad == "zero" else [x.new_ones(x.shape[0], 1, 1)]))
    begin = max(before * kernel.stride, cut)
    end = kernel.context - (cut if state is None or state.last else 0)
    return x, slice(begin, -end or None)


def _heard(kept: tuple[Tensor, ...], x: Tensor) -> Tensor:
    """What a transposed convolution kept; the state of an exported graph begins as zeros, and a mark says so."""
    if len(kept) > 1 and torch.onnx.is_in_onnx_export():
        return torch.where(kept[1] > 0, kept[0], x[..., :1])
    return kept[0]
