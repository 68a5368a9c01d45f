"""Narrow arithmetic that learns as wide arithmetic does: autocast, gradient scaling, clipping, no step into nowhere.

Micikevicius et al. 2018 (mixed precision, arXiv 1710.03740). Weights and optimizers stay in float32.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Precision = Literal["fp32", "bf16", "fp16"]
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Stepper:
    """Steps of one optimizer over one model; each has its own gradient scale, since fp16 overflows in each alone."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, precision: Precision, clip: float) -> None:
        self.model, self.optimizer, self.precision, self.clip = model, optimizer, precision, clip
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Where to compute forward passes and losses."""
        return torch.autocast(self.device.type, _TYPES[self.precision], enabled=self.precision != "fp32")

    @property
    def scale(self) -> Tensor:
        """What losses are multiplied by before their backward pass; 1 but in fp16."""
        scale: Tensor = self.scaler.scale(torch.ones((), device=self.device))
        return scale

    def backward(self, loss: Tensor) -> None:
        """Gradients of `loss`, scaled."""
        torch.autograd.backward([self.scaler.scale(loss)])

    def step(self) -> float:
        """Take a step along the gradients and clear them; returns their norm before clipping.

        Where that is not finite the weights stay as they are: one NaN would stay in them for ever. Gradients are
        the same on all processes, so all of them step or none does.
        """
        self.scaler.unscale_(self.optimizer)
        limit = self.clip or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        if math.isfinite(norm) or self.scaler.is_enabled():  # the scaler skips by itself, and learns from it
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """The gradient scale; nothing but in fp16."""
        state: dict[str, Any] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put it back, where there is one."""
        if state and self.scaler.is_enabled():
            self.scaler.load_state_dict(state)
