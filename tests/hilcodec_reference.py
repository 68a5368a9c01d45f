"""HILCodec written down once more, plainly: functions over an official state dict, whole files only, no classes.

Follows the published layer table by the names of its state dict, and shares nothing with the codec under test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Any]
MEANS, STDS = (-4.554, -4.315, -4.021, -3.726, -3.477), (2.830, 2.837, 2.817, 2.796, 2.871)
WAVE_STD, R = 0.1122080159, 3**-0.5
STRIDES = (2, 4, 5, 8)  # of the encoder


@dataclass(frozen=True)
class Sizes:
    """What the small models in tests vary."""

    enc: int = 64
    dec: int = 96
    n_fft: int = 64
    dim: int = 128
    books: int = 8
    entries: int = 1024


def shapes(s: Sizes) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the official state dict, weight norm in the old spelling, without `_extra_state`."""
    table: dict[str, tuple[int, ...]] = {}

    def conv(name: str, *shape: int, bias: bool = True, kind: str = "conv") -> None:
        table[f"{name}.{kind}.{kind}.weight_v"] = shape
        table[f"{name}.{kind}.{kind}.weight_g"] = (shape[0], 1, 1)
        if bias:
            table[f"{name}.{kind}.{kind}.bias"] = (shape[0],)

    def unit(name: str, width: int) -> None:
        for pointwise, depthwise in ((1, 2), (4, 5)):
            conv(f"{name}.block.{pointwise}", width, width, 1, bias=False)
            conv(f"{name}.block.{depthwise}", width, 1, 5)
        table[f"{name}.res_scale_param"] = (1,)

    def spectrum(name: str, i: int) -> None:
        n_fft = s.n_fft << i
        table[f"{name}.spec.weight"] = (n_fft + 2, 1, n_fft)
        table[f"{name}.scale_param"] = (1,)
        conv(f"{name}.layer", s.enc << i, n_fft // 2 + 1, 1, bias=False)

    conv("encoder.conv_pre.1", s.enc, 1, 5)
    for i, stride in enumerate(STRIDES):
        width = s.enc << i
        spectrum(f"encoder.spec_blocks.{i}", i)
        unit(f"encoder.blocks.{i}.0", width)
        unit(f"encoder.blocks.{i}.1", width)
        conv(f"encoder.downsample.{i}.2", 2 * width, width, 1, bias=False)
        conv(f"encoder.downsample.{i}.3", 2 * width, 1, 2 * stride)
    spectrum("encoder.spec_post", 4)
    conv("encoder.conv_post.1", s.enc << 4, 1, 5, bias=False)
    conv("encoder.conv_post.2", s.dim, s.enc << 4, 1)
    conv("decoder.model.0", s.dec << 4, s.dim, 1, bias=False)
    conv("decoder.model.1", s.dec << 4, 1, 5)
    for i, stride in enumerate(reversed(STRIDES)):
        width, first = s.dec << (4 - i), 2 + 7 * i
        conv(f"decoder.model.{first + 2}", width, 1, 2 * stride, bias=False, kind="convtr")
        conv(f"decoder.model.{first + 3}", width // 2, width, 1)
        for j in range(3):
            unit(f"decoder.model.{first + 4 + j}", width // 2)
    conv("decoder.model.32", 1, s.dec, 5)
    for k in range(s.books):
        for name in ("embed", "ema_embed"):
            table[f"quantizer.layers.{k}.{name}"] = (s.entries, s.dim)
        table[f"quantizer.layers.{k}.ema_num"] = (s.entries,)
    return table


def made_up(s: Sizes, seed: int = 0) -> Weights:
    """Weights in which every part matters and activations keep about the power that training gives them."""
    source, weights = torch.Generator().manual_seed(seed), Weights()
    for key, shape in shapes(s).items():
        if key.endswith("spec.weight"):
            weights[key] = basis(shape[2])
        elif key.endswith("scale_param"):
            weights[key] = 0.4 + torch.rand(shape, generator=source)
        elif key.endswith("weight_g"):
            depthwise_up = "convtr" in key
            weights[key] = (0.8 + 0.4 * torch.rand(shape, generator=source)) * (1 + depthwise_up)
        elif key.endswith(("ema_num", "embed")) and "ema" in key:
            weights[key] = torch.rand(shape, generator=source) + 0.5
        else:
            level = 0.85 ** int(key.split(".")[2]) if key.endswith(".embed") else 1.0
            weights[key] = level * torch.randn(shape, generator=source) * (0.1 if key.endswith("bias") else 1)
    for k in range(s.books):
        weights[f"quantizer.layers.{k}._extra_state"] = {"initted": True}
    return weights


def basis(n: int) -> Tensor:
    """The original's Fourier basis, whose angles are multiplied out in float32."""
    k, t = torch.arange(n // 2 + 1, dtype=torch.float32), torch.arange(n, dtype=torch.float32)
    angle = (-2 * math.pi / n * k)[:, None] * t[None]
    return (torch.cat([torch.cos(angle), torch.sin(angle)]) * torch.hann_window(n))[:, None]


def weight(w: Weights, name: str) -> Tensor:
    v, g = w[f"{name}.weight_v"], w[f"{name}.weight_g"]
    return v * (g / v.flatten(1).norm(dim=1)[:, None, None])


def conv(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """Causal, zeros before the start; depthwise where the weight says so."""
    name = f"{name}.conv.conv"
    kernel = weight(w, name)
    groups = x.shape[1] // kernel.shape[1]
    left = kernel.shape[2] - stride
    return F.conv1d(F.pad(x, (left, 0)), kernel, w.get(f"{name}.bias"), stride, groups=groups)


def convtr(w: Weights, name: str, x: Tensor, stride: int) -> Tensor:
    y = F.conv_transpose1d(x, weight(w, f"{name}.convtr.convtr"), stride=stride, groups=x.shape[1])
    return y[..., : x.shape[2] * stride]


def unit(w: Weights, name: str, x: Tensor, j: int) -> Tensor:
    y = x * (1 + j * R * R) ** -0.5
    for place in (1, 4):
        y = conv(w, f"{name}.block.{place + 1}", conv(w, f"{name}.block.{place}", F.elu(y)))
    return y * R * w[f"{name}.res_scale_param"] + x


def spectrum(w: Weights, name: str, wave: Tensor, i: int, hop: int) -> Tensor:
    kernel = w[f"{name}.spec.weight"]
    y = F.conv1d(F.pad(wave, (kernel.shape[2] - 1, 0)), kernel, stride=hop)
    real, imaginary = y.chunk(2, dim=1)
    log = (real**2 + imaginary**2).clamp_min(1e-12).sqrt().clamp_min(1e-5).log()
    return conv(w, f"{name}.layer", (log - MEANS[i]) / STDS[i]) * R * w[f"{name}.scale_param"]


def encode(w: Weights, wave: Tensor) -> Tensor:
    """`[B, 1, F * 320]` to latents `[B, D, F]`."""
    x, hop = conv(w, "encoder.conv_pre.1", wave / WAVE_STD), 1
    for i, stride in enumerate(STRIDES):
        x = x + spectrum(w, f"encoder.spec_blocks.{i}", wave, i, hop)
        for j in (1, 2):
            x = unit(w, f"encoder.blocks.{i}.{j - 1}", x, j)
        x = conv(w, f"encoder.downsample.{i}.2", F.elu(x * (1 + 2 * R * R) ** -0.5))
        x, hop = conv(w, f"encoder.downsample.{i}.3", x, stride), hop * stride
    x = F.elu(x + spectrum(w, "encoder.spec_post", wave, 4, hop))
    x = conv(w, "encoder.conv_post.2", conv(w, "encoder.conv_post.1", x))
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) * math.sqrt(x.shape[1])


def quantize(w: Weights, z: Tensor, levels: int) -> Tensor:
    """Codes `[B, levels, F]`."""
    residual, codes = z.transpose(1, 2), []
    for k in range(levels):
        book = w[f"quantizer.layers.{k}.embed"]
        codes.append(torch.cdist(residual, book[None]).argmin(-1))
        residual = residual - book[codes[-1]]
    return torch.stack(codes, 1)


def dequantize(w: Weights, codes: Tensor) -> Tensor:
    """Latents `[B, D, F]`."""
    z = sum(w[f"quantizer.layers.{k}.embed"][codes[:, k]] for k in range(codes.shape[1]))
    return z.transpose(1, 2)


def decode(w: Weights, z: Tensor, quirks: bool = False) -> Tensor:
    """`[B, D, F]` to samples; `quirks` as the released ONNX graphs have it."""
    x = conv(w, "decoder.model.1", conv(w, "decoder.model.0", z))
    for i, stride in enumerate(reversed(STRIDES)):
        first = 2 + 7 * i
        x = F.elu(x if i == 0 else x * (1 + 3 * R * R) ** -0.5)
        x = conv(w, f"decoder.model.{first + 3}", convtr(w, f"decoder.model.{first + 2}", x, stride))
        for j in range(3):
            x = unit(w, f"decoder.model.{first + 4 + j}", x, 0 if quirks else j)
    x = conv(w, "decoder.model.32", F.elu(x * (1 + 3 * R * R) ** -0.5))
    if quirks:
        bias = w["decoder.model.32.conv.conv.bias"]
        return torch.tanh((x - bias) * WAVE_STD + bias)
    return torch.tanh(x * WAVE_STD)
