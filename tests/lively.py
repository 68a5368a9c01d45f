"""Models of Snake and weight norm with random weights, of which every part matters."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def lively(model: Model) -> Model:
    """`model` with weights that are not tiny and ripples that are not 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("original0"):
                parameter.fill_(0.7)
            elif name.endswith("alpha"):
                parameter.uniform_(0.5, 2)
    return model
