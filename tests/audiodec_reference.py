"""AudioDec once more, as plain functions over official state dicts: what ours is measured against.

Written from the description of its layers, without any of nacre's. Offline, or in chunks with the buffers of zeros
that AudioDec's own streams begin with.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
UP = (5, 5, 4, 3)  # strides next to the latents first


class Reference:
    """One pass or, with `streaming`, one stream: each convolution then keeps the end of what it saw."""

    def __init__(self, weights: Weights, streaming: bool = False) -> None:
        self.weights, self.streaming = weights, streaming
        self.buffers: dict[str, Tensor] = {}

    def weight(self, name: str) -> Tensor:
        if name + ".weight" in self.weights:
            return self.weights[name + ".weight"]
        g, v = self.weights[name + ".weight_g"], self.weights[name + ".weight_v"]
        return g * v / v.norm(dim=(1, 2), keepdim=True)

    def before(self, name: str, x: Tensor, start: Tensor) -> Tensor:
        x = torch.cat([self.buffers.get(name, torch.zeros_like(start)) if self.streaming else start, x], dim=2)
        self.buffers[name] = x[:, :, -start.shape[2] :]
        return x

    def conv(self, name: str, x: Tensor, stride: int = 1, dilation: int = 1, groups: int = 1) -> Tensor:
        weight = self.weight(name + ".conv")
        zeros = torch.zeros(*x.shape[:2], (weight.shape[2] - 1) * dilation)
        x = self.before(name, x, zeros)
        return F.conv1d(x, weight, self.weights.get(name + ".conv.bias"), stride, 0, dilation, groups)

    def up(self, name: str, x: Tensor, stride: int) -> Tensor:
        x = self.before(name, x, x[:, :, :1])
        y = F.conv_transpose1d(x, self.weight(name + ".deconv"), self.weights[name + ".deconv.bias"], stride)
        return y[:, :, stride:-stride]

    def units(self, name: str, x: Tensor) -> Tensor:
        for i, dilation in enumerate((1, 3, 9)):
            y = F.elu(self.conv(f"{name}.res_units.{i}.conv1", F.elu(x), dilation=dilation))
            x = x + F.conv1d(y, self.weight(f"{name}.res_units.{i}.conv2"))
        return x

    def encode(self, x: Tensor, strides: tuple[int, ...] = UP[::-1], activated: bool = False) -> Tensor:
        x = self.conv("encoder.conv", x)
        for i, stride in enumerate(strides):
            x = self.conv(f"encoder.conv_blocks.{i}.conv", self.units(f"encoder.conv_blocks.{i}", x), stride)
        return self.conv("projector.project", F.elu(x) if activated else x)

    def quantize(self, z: Tensor) -> Tensor:
        """Indices `[B, K, F]`."""
        residual, indices = z.transpose(1, 2), []
        for i in range(sum(key.endswith(".embed") for key in self.weights)):
            embed = self.weights[f"quantizer.codebook.layers.{i}.embed"]
            distance = residual.square().sum(2, keepdim=True) - 2 * residual @ embed + embed.square().sum(0)
            indices.append(distance.argmin(2))
            entry = embed.T[indices[-1]]
            residual = residual - (residual + (entry - residual))  # rounded as the straight-through estimate is
        return torch.stack(indices, 1)

    def lookup(self, indices: Tensor) -> Tensor:
        embeds = [self.weights[f"quantizer.codebook.layers.{i}.embed"].T for i in range(indices.shape[1])]
        return sum(embed[indices[:, i]] for i, embed in enumerate(embeds)).transpose(1, 2)  # type: ignore[union-attr]

    def decode(self, z: Tensor, strides: tuple[int, ...] = UP, activated: bool = False) -> Tensor:
        x = self.conv("decoder.conv1", z)
        for i, stride in enumerate(strides):
            name = f"decoder.conv_blocks.{i}" + (".1" if activated else "")
            x = self.units(name, self.up(f"{name}.conv", F.elu(x) if activated else x, stride))
        x = self.conv("decoder.conv2", F.elu(x) if activated else x)
        return x.tanh() if activated else x

    def block(self, name: str, x: Tensor, groups: int) -> Tensor:
        for i, dilation in enumerate((1, 3, 5)):
            y = self.conv(f"{name}.convs1.{i}", F.leaky_relu(x, 0.1), dilation=dilation, groups=groups)
            x = self.conv(f"{name}.convs2.{i}", F.leaky_relu(y, 0.1), groups=groups) + x
        return x

    def vocode(self, z: Tensor, groups: int, kernels: int) -> Tensor:
        if "mean" in self.weights:
            z = ((z.transpose(1, 2) - self.weights["mean"]) / self.weights["scale"]).transpose(1, 2)
        x = self.conv("input_conv", z)
        for i, stride in enumerate(UP):
            x = self.up(f"upsamples.{i}", F.leaky_relu(x, 0.1), stride)
            if groups == 1:
                x = sum(self.block(f"blocks.{i}.blocks.{k}", x, 1) for k in range(kernels)) / kernels  # type: ignore[assignment]
            else:
                x = self.block(f"blocks.{i}", x.repeat(1, groups, 1), groups)
                x = F.conv1d(x, self.weight(f"blocks.{i}.conv_out"))
        return self.conv("output_conv", F.leaky_relu(x, 0.01)).tanh()


class Shapes:
    """Official names and shapes, filled with numbers that keep sound about as loud as it was."""

    def __init__(self, normed: bool, seed: int) -> None:
        self.normed, self.made, self.random = normed, Weights(), torch.Generator().manual_seed(seed)

    def put(self, key: str, *shape: int, size: float = 1.0) -> None:
        self.made[key] = torch.randn(*shape, generator=self.random) * size

    def layer(self, name: str, shape: tuple[int, int, int], bias: int = 0, past: tuple[int, int] | None = None) -> None:
        """A weight, a bias of so many channels, and AudioDec's buffer of so many channels and positions."""
        place = name if past is None else name.rpartition(".")[0]
        size = 1 / math.sqrt(shape[1] * shape[2]) if "deconv" not in name else 1 / math.sqrt(shape[0])
        self.put(name + (".weight_v" if self.normed else ".weight"), *shape, size=size)
        if self.normed:
            norm = self.made[name + ".weight_v"].norm(dim=(1, 2), keepdim=True)
            self.made[name + ".weight_g"] = norm * (0.5 + torch.rand(norm.shape, generator=self.random))
        if bias:
            self.put(name + ".bias", bias, size=0.1)
        if past is not None:
            self.put(place + ".pad_buffer", 1, *past)

    def units(self, name: str, width: int) -> None:
        for i, dilation in enumerate((1, 3, 9)):
            self.layer(f"{name}.res_units.{i}.conv1.conv", (width, width, 7), past=(width, 6 * dilation))
            self.layer(f"{name}.res_units.{i}.conv2", (width, width, 1))


def autoencoder(
    width: int = 2,
    strides: tuple[int, ...] = UP[::-1],
    latent: int = 8,
    levels: int = 3,
    size: int = 32,
    activated: bool = False,
    decoder_width: int = 0,
    seed: int = 0,
) -> Weights:
    """The generator's state dict of an autoencoder."""
    made = Shapes(activated, seed)
    made.layer("encoder.conv.conv", (width, 1, 7), past=(1, 6))
    for i, s in enumerate(strides):
        name = f"encoder.conv_blocks.{i}"
        made.units(name, width)
        made.layer(f"{name}.conv.conv", (2 * width, width, 2 * s), 2 * width, past=(width, 2 * s - 1))
        width *= 2
    made.layer("projector.project.conv", (latent, width, 3), past=(width, 2))
    for i in range(levels):
        name = f"quantizer.codebook.layers.{i}"
        made.put(f"{name}.embed", latent, size, size=0.6**i)
        made.put(f"{name}.embed_avg", latent, size)
        made.made[f"{name}.cluster_size"] = torch.rand(size, generator=made.random)
    width = decoder_width << len(strides) if decoder_width else width
    made.layer("decoder.conv1.conv", (width, latent, 7), past=(latent, 6))
    for i, s in enumerate(reversed(strides)):
        name = f"decoder.conv_blocks.{i}" + (".1" if activated else "")
        made.layer(f"{name}.conv.deconv", (width, width // 2, 2 * s), width // 2, past=(width, 1))
        width //= 2
        made.units(name, width)
    made.layer("decoder.conv2.conv", (1, width, 7), past=(width, 6))
    return made.made


def vocoder(
    kernels: tuple[int, ...], groups: int, width: int = 32, latent: int = 8, statistics: bool = True, seed: int = 1
) -> Weights:
    """The generator's state dict of a vocoder."""
    made = Shapes(True, seed)
    made.layer("input_conv.conv", (width, latent, 7), width, past=(latent, 6))
    for i, s in enumerate(UP):
        made.layer(f"upsamples.{i}.deconv", (width, width // 2, 2 * s), width // 2, past=(width, 1))
        width //= 2
        wide = width * groups
        for k, kernel in enumerate(kernels):
            name = f"blocks.{i}.blocks.{k}" if groups == 1 else f"blocks.{i}"
            for j, dilation in enumerate((1, 3, 5)):
                shape = (wide, width, kernel)
                made.layer(f"{name}.convs1.{j}.conv", shape, wide, past=(wide, (kernel - 1) * dilation))
                made.layer(f"{name}.convs2.{j}.conv", shape, wide, past=(wide, kernel - 1))
        if groups > 1:
            made.layer(f"blocks.{i}.conv_out", (width, wide, 1))
    made.layer("output_conv.conv", (1, width, 7), 1, past=(width, 6))
    for key in made.made:
        if "convs2" in key or key.startswith("output"):
            made.made[key] *= 0.3  # so that the tanh at the end still bends and does not clip
    if statistics:
        made.put("mean", latent, size=0.3)
        made.made["scale"] = 0.5 + torch.rand(latent, generator=made.random)
    return made.made
