"""AcademiCodec's two networks written down a second time, as plain functions over state dicts with its own names.

From its description, not from our code: whole sounds only, nothing streams. What ours must equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
Shape = tuple[int, ...]
SLOPE = 0.1


def random_weights(shapes: dict[str, Shape], seed: int = 0) -> Weights:
    """Tensors for which every part of a network matters, with the sizes of weight norm not 1."""
    draw = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=draw)
        if key.endswith("weight_g"):
            weights[key] = 0.8 + 0.2 * noise.abs()
        elif key.endswith(("inited", "cluster_size")):
            weights[key] = torch.ones(shape)
        elif ".lstm." in key or key.endswith("bias"):
            weights[key] = 0.1 * noise  # larger, and an LSTM is chaos: two roundings part for good
        else:
            weights[key] = noise
    return weights


def normed(weights: Weights, key: str) -> Tensor:
    if f"{key}.weight" in weights:
        return weights[f"{key}.weight"]
    size, direction = weights[f"{key}.weight_g"], weights[f"{key}.weight_v"]
    return size * direction / direction.flatten(1).norm(dim=1)[:, None, None]


def conv_shapes(key: str, c_in: int, c_out: int, size: int, back: bool = False) -> Iterator[tuple[str, Shape]]:
    first, second = (c_in, c_out) if back else (c_out, c_in)
    yield f"{key}.weight_v", (first, second, size)
    yield f"{key}.weight_g", (first, 1, 1)
    yield f"{key}.bias", (c_out,)


# SoundStream and EnCodec: SEANet, hearing both sides, reflecting


@dataclass(frozen=True)
class SEANet:
    filters: int
    dim: int
    ratios: tuple[int, ...]  # the decoder's order
    levels: int
    size: int

    def shapes(self) -> dict[str, Shape]:
        width = self.filters << len(self.ratios)
        found = dict(conv_shapes("encoder.model.0.conv.conv", 1, self.filters, 7))
        found |= dict(conv_shapes(f"encoder.model.{3 * len(self.ratios) + 3}.conv.conv", width, self.dim, 7))
        found |= dict(conv_shapes("decoder.model.0.conv.conv", self.dim, width, 7))
        found |= dict(conv_shapes(f"decoder.model.{3 * len(self.ratios) + 3}.conv.conv", self.filters, 1, 7))
        for i, ratio in enumerate(reversed(self.ratios)):
            narrow = self.filters << i
            found |= self._unit(f"encoder.model.{3 * i + 1}", narrow)
            found |= dict(conv_shapes(f"encoder.model.{3 * i + 3}.conv.conv", narrow, 2 * narrow, 2 * ratio))
            at = 3 * (len(self.ratios) - 1 - i) + 3
            found |= dict(
                conv_shapes(f"decoder.model.{at}.convtr.convtr", 2 * narrow, narrow, 2 * ratio, back=True)
            ) | self._unit(f"decoder.model.{at + 1}", narrow)
        for side, at in (("encoder", 3 * len(self.ratios) + 1), ("decoder", 1)):
            for layer in (0, 1):
                for kind in ("ih", "hh"):
                    found[f"{side}.model.{at}.lstm.weight_{kind}_l{layer}"] = (4 * width, width)
                    found[f"{side}.model.{at}.lstm.bias_{kind}_l{layer}"] = (4 * width,)
        for k in range(self.levels):
            book = f"quantizer.vq.layers.{k}._codebook"
            found |= {f"{book}.embed": (self.size, self.dim), f"{book}.embed_avg": (self.size, self.dim)}
            found |= {f"{book}.cluster_size": (self.size,), f"{book}.inited": (1,)}
        return found

    def _unit(self, key: str, width: int) -> dict[str, Shape]:
        return (
            dict(conv_shapes(f"{key}.block.1.conv.conv", width, width // 2, 3))
            | dict(conv_shapes(f"{key}.block.3.conv.conv", width // 2, width, 1))
            | dict(conv_shapes(f"{key}.shortcut.conv.conv", width, width, 1))
        )

    def encode(self, w: Weights, x: Tensor) -> Tensor:
        x = reflected(w, "encoder.model.0.conv.conv", x)
        at = 1
        for ratio in reversed(self.ratios):
            x = unit(w, f"encoder.model.{at}", x)
            x = reflected(w, f"encoder.model.{at + 2}.conv.conv", F.elu(x), ratio)
            at += 3
        return reflected(w, f"encoder.model.{at + 2}.conv.conv", F.elu(remembering(w, f"encoder.model.{at}.lstm", x)))

    def decode(self, w: Weights, z: Tensor) -> Tensor:
        x = remembering(w, "decoder.model.1.lstm", reflected(w, "decoder.model.0.conv.conv", z))
        at = 2
        for ratio in self.ratios:
            key = f"decoder.model.{at + 1}.convtr.convtr"
            x = F.conv_transpose1d(F.elu(x), normed(w, key), w[f"{key}.bias"], stride=ratio)
            x = x[..., ratio - ratio // 2 : x.shape[-1] - ratio // 2]
            x = unit(w, f"decoder.model.{at + 2}", x)
            at += 3
        return reflected(w, f"decoder.model.{at + 1}.conv.conv", F.elu(x))

    def codes(self, w: Weights, z: Tensor) -> Tensor:
        """`[levels, B, F]`."""
        found, left = [], z.transpose(1, 2)
        for k in range(self.levels):
            book = w[f"quantizer.vq.layers.{k}._codebook.embed"]
            found.append(torch.cdist(left, book[None], compute_mode="donot_use_mm_for_euclid_dist").argmin(-1))
            left = left - book[found[-1]]
        return torch.stack(found)

    def latents(self, w: Weights, codes: Tensor) -> Tensor:
        looked_up = [w[f"quantizer.vq.layers.{k}._codebook.embed"][level] for k, level in enumerate(codes)]
        return torch.stack(looked_up).sum(0).transpose(1, 2)


def reflected(w: Weights, key: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = normed(w, key)
    total, length = weight.shape[-1] - stride, x.shape[-1]
    right = total // 2
    left = total - right
    extra = (math.ceil(length / stride) - 1) * stride + weight.shape[-1] - total - length
    short = max(0, max(left, right + extra) + 1 - length)  # too short to mirror: zeros first
    padded = F.pad(F.pad(x, (0, short)), (left, right + extra), "reflect")
    return F.conv1d(padded[..., : padded.shape[-1] - short], weight, w[f"{key}.bias"], stride)


def unit(w: Weights, key: str, x: Tensor) -> Tensor:
    inside = reflected(w, f"{key}.block.1.conv.conv", F.elu(x))
    inside = reflected(w, f"{key}.block.3.conv.conv", F.elu(inside))
    return reflected(w, f"{key}.shortcut.conv.conv", x) + inside


def remembering(w: Weights, key: str, x: Tensor) -> Tensor:
    names = [f"{key}.{kind}_{way}_l{layer}" for layer in (0, 1) for kind in ("weight", "bias") for way in ("ih", "hh")]
    zeros = x.new_zeros(2, len(x), x.shape[1])
    y = torch.lstm(x.permute(2, 0, 1), (zeros, zeros), [w[n] for n in names], True, 2, 0.0, False, False, False)[0]
    return x + y.permute(1, 2, 0)


# HiFi-Codec: HiFi-GAN's generator, an encoder like it with norms over the whole sound, two groups of two levels


@dataclass(frozen=True)
class HiFi:
    rates: tuple[int, ...]  # the generator's order
    kernels: tuple[int, ...]
    filters: int
    groups: int
    size: int
    fewest: int = 16  # channels that are normalised together

    @property
    def dim(self) -> int:
        return self.filters << len(self.rates)

    def shapes(self) -> dict[str, dict[str, Shape]]:
        """By part of the checkpoint, then by key."""
        stages, dim = len(self.rates), self.dim
        encoder = dict(conv_shapes("conv_pre", 1, self.filters, 7))
        encoder |= {"conv_post.weight": (dim, dim, 3), "conv_post.bias": (dim,)}
        generator = dict(conv_shapes("conv_pre", dim, dim, 7)) | dict(conv_shapes("conv_post", self.filters, 1, 7))
        for i in range(stages):
            width = self.filters << i
            encoder |= dict(conv_shapes(f"ups.{i}", width, 2 * width, self.kernels[::-1][i]))
            half = dim >> (i + 1)
            generator |= dict(conv_shapes(f"ups.{i}", 2 * half, half, self.kernels[i], back=True))
            for j, size in enumerate((3, 7, 11)):
                generator |= self._block(f"resblocks.{3 * i + j}", half, size)
                encoder |= self._block(f"resblocks.{3 * i + 2 - j}", 2 * width, size)
                encoder |= {f"normalize.{3 * i + j}.{leaf}": (2 * width,) for leaf in ("weight", "bias")}
        quantizer = {
            f"quantizer_modules{layer}.{group}.embedding.weight": (self.size, dim // self.groups)
            for layer in ("", "2")
            for group in range(self.groups)
        }
        return {"generator": generator, "encoder": encoder, "quantizer": quantizer}

    def _block(self, key: str, width: int, size: int) -> dict[str, Shape]:
        parts = [conv_shapes(f"{key}.convs{c}.{d}", width, width, size) for c in (1, 2) for d in range(3)]
        return {name: shape for part in parts for name, shape in part}

    def encode(self, w: Weights, x: Tensor) -> Tensor:
        x = padded(w, "conv_pre", x)
        for i, (rate, size) in enumerate(zip(self.rates[::-1], self.kernels[::-1], strict=True)):
            x = F.conv1d(
                F.leaky_relu(x, SLOPE), normed(w, f"ups.{i}"), w[f"ups.{i}.bias"], rate, padding=(size - rate) // 2
            )
            total = torch.zeros_like(x)
            for j in range(3 * i, 3 * i + 3):
                total = total + block(w, f"resblocks.{j}", x)
                scale, shift = w[f"normalize.{j}.weight"], w[f"normalize.{j}.bias"]
                total = F.group_norm(total, x.shape[1] // self.fewest, scale, shift, 1e-6)
            x = total / 3
        return padded(w, "conv_post", F.leaky_relu(x, 0.01))

    def decode(self, w: Weights, z: Tensor) -> Tensor:
        x = padded(w, "conv_pre", z)
        for i, (rate, size) in enumerate(zip(self.rates, self.kernels, strict=True)):
            key, cut = f"ups.{i}", (size - rate) // 2
            x = F.conv_transpose1d(F.leaky_relu(x, SLOPE), normed(w, key), w[f"{key}.bias"], rate, padding=cut)
            x = (
                block(w, f"resblocks.{3 * i}", x)
                + block(w, f"resblocks.{3 * i + 1}", x)
                + block(w, f"resblocks.{3 * i + 2}", x)
            ) / 3
        return torch.tanh(padded(w, "conv_post", F.leaky_relu(x, SLOPE)))

    def codes(self, w: Weights, z: Tensor) -> Tensor:
        """`[B, F, 4]`: the groups of the first layer, then those of the second."""
        found, left = [], z.transpose(1, 2)
        for layer in ("", "2"):
            quantized = []
            for group, part in enumerate(left.chunk(self.groups, -1)):
                book = w[f"quantizer_modules{layer}.{group}.embedding.weight"]
                found.append(torch.cdist(part, book[None], compute_mode="donot_use_mm_for_euclid_dist").argmin(-1))
                quantized.append(book[found[-1]])
            left = left - torch.cat(quantized, -1)
        return torch.stack(found, -1)

    def latents(self, w: Weights, codes: Tensor) -> Tensor:
        layers = []
        for k, layer in enumerate(("", "2")):
            books = [w[f"quantizer_modules{layer}.{group}.embedding.weight"] for group in range(self.groups)]
            layers.append(torch.cat([book[codes[..., k * self.groups + g]] for g, book in enumerate(books)], -1))
        return (layers[0] + layers[1]).transpose(1, 2)


def padded(w: Weights, key: str, x: Tensor, dilation: int = 1) -> Tensor:
    weight = normed(w, key)
    return F.conv1d(x, weight, w[f"{key}.bias"], padding=(weight.shape[-1] - 1) * dilation // 2, dilation=dilation)


def block(w: Weights, key: str, x: Tensor) -> Tensor:
    for i, dilation in enumerate((1, 3, 5)):
        y = padded(w, f"{key}.convs1.{i}", F.leaky_relu(x, SLOPE), dilation)
        x = x + padded(w, f"{key}.convs2.{i}", F.leaky_relu(y, SLOPE))
    return x
