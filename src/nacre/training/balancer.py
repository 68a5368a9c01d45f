"""Weights that say what share of the gradient each loss gets, whatever its size (EnCodec)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import InputError


@dataclass(frozen=True)
class BalancerConfig:
    """Shares of the losses and how their gradients' sizes are followed."""

    weights: Mapping[str, float] = field(default_factory=dict)  # a share a loss
    total: float = 1.0  # norm of the balanced gradient where all losses pull the same way
    decay: float = 0.999  # of the moving average of the norms
    normalised: bool = True  # shares add up to one (EnCodec), else they are used as they stand (HILCodec)
    per_item: bool = True  # the mean of the items' norms, else the norm of the batch
    epsilon: float = 1e-12  # keeps a loss without gradient from being divided by zero


class Balancer(nn.Module):
    """Scales each loss's gradient with respect to the output by the moving average of its norm.

    Défossez et al. 2022 (arXiv 2210.13438), section 3.4: with g the gradient of a loss and <|g|> the bias-corrected
    average of its norm, the output gets `sum(total * w / sum(w) * g / <|g|>)`. The averages are in the
    state dict, so that a resumed run goes on with them. A loss may stay away for some steps (or until later): its
    share is then free for the others.
    """

    def __init__(self, config: BalancerConfig) -> None:
        super().__init__()
        if not config.weights or min(config.weights.values()) <= 0:
            raise InputError(f"the balancer expects a weight above zero for each loss, got {dict(config.weights)}")
        self.config = config
        self.names = tuple(config.weights)
        self.register_buffer("sums", torch.zeros(len(self.names)))
        self.register_buffer("counts", torch.zeros(len(self.names)))
        self.sums: Tensor  # decayed sum of each loss's norms
        self.counts: Tensor  # decayed number of norms in it

    def backward(
        self, losses: Mapping[str, Tensor], output: Tensor, beside: Tensor | None = None, scale: Tensor | float = 1.0
    ) -> dict[str, Tensor]:
        """Send the balanced gradient of `losses` back through `output` `[B, C, T]`; returns figures to log.

        `beside` is a loss that does not go through the output (commitment): its gradient joins the same backward pass,
        as DDP needs. `scale` is a gradient scaler's (fp16). Under torch.distributed every process calls this with
        the same names, and the norms are the mean over all. Figures, scalars without gradient: `norm/NAME` is
        the moving average and `share/NAME` its part of their sum, which an unbalanced sum would have given.
        """
        self._check(losses)
        names = [name for name in self.names if name in losses]
        gradients = self._gradients([losses[name] * scale for name in names], output)
        norms = self._average(names, torch.stack([self._norm(gradient) for gradient in gradients]) / scale)
        weights = torch.tensor([self.config.weights[name] for name in names], dtype=norms.dtype, device=norms.device)
        if self.config.normalised:
            weights = weights / weights.sum()
        factors = self.config.total * weights / (norms + self.config.epsilon)
        balanced = torch.zeros_like(output)
        for factor, gradient in zip(factors, gradients, strict=True):
            balanced += factor.to(gradient.dtype) * gradient
        if beside is None or not beside.requires_grad:  # a held encoder has nothing to commit to
            torch.autograd.backward([output], [balanced])
        else:
            torch.autograd.backward([output, beside * scale], [balanced, None])
        shares = norms / norms.sum().clamp_min(self.config.epsilon)
        figures = {f"norm/{name}": norm for name, norm in zip(names, norms, strict=True)}
        return figures | {f"share/{name}": share for name, share in zip(names, shares, strict=True)}

    def _check(self, losses: Mapping[str, Tensor]) -> None:
        unknown = sorted(losses.keys() - set(self.names))
        if unknown or not losses:
            raise InputError(f"expected some of the losses {', '.join(self.names)}, got {', '.join(unknown) or 'none'}")

    def _gradients(self, losses: list[Tensor], output: Tensor) -> list[Tensor]:
        """Of each loss with respect to `output`; graphs are kept until the last, as losses may share a part."""
        last = len(losses) - 1
        try:
            return [torch.autograd.grad(loss, output, retain_graph=i < last)[0] for i, loss in enumerate(losses)]
        except RuntimeError as error:
            if "have been used in the graph" in str(error) or "does not require grad" in str(error):
                raise InputError(
                    "the balancer expects losses that depend on the output; add others as `beside`"
                ) from None
            raise

    def _norm(self, gradient: Tensor) -> Tensor:
        items = gradient.float().flatten(1 if self.config.per_item else 0)
        norm: Tensor = torch.linalg.vector_norm(items, dim=-1)
        return norm.mean()

    def _average(self, names: list[str], norms: Tensor) -> Tensor:
        """Moving averages of the norms of `names`; a step that overflowed is left out, or it would stay for ever."""
        if dist.is_available() and dist.is_initialized():
            norms = norms.contiguous()
            dist.all_reduce(norms)
            norms = norms / dist.get_world_size()
        index = torch.tensor([self.names.index(name) for name in names], device=norms.device)
        decay = self.config.decay
        good = norms.isfinite()
        sums = torch.where(good, decay * self.sums[index] + norms, self.sums[index])
        counts = torch.where(good, decay * self.counts[index] + 1, self.counts[index])
        self.sums[index], self.counts[index] = sums, counts
        return torch.where(counts > 0, sums / counts.clamp_min(1e-12), norms)
