"""SwarModel of the 2023 project and its training, written again from its facts: nothing here comes from nacre.

Layers are registered under the project's names, each as an attribute and inside `layers`, so its checkpoints fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Normed(nn.Module):
    """A convolution whose weight is `g * v / |v|`, spelt as in 2023."""

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.rand(shape[0], 1, 1) + 0.5)
        self.weight_v = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.randn(outputs) * 0.1)

    @property
    def weight(self) -> Tensor:
        return self.weight_v * (self.weight_g / self.weight_v.flatten(1).norm(dim=1)[:, None, None])


def mirrored(x: Tensor, left: int, right: int) -> Tensor:
    """Reflected on both sides; a signal too short for it goes on in zeros first, which are cut off again."""
    extra = max(0, max(left, right) + 1 - x.shape[-1])
    y = F.pad(F.pad(x, (0, extra)), (left, right), "reflect")
    return y[..., : y.shape[-1] - extra]


class Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = Normed((outputs, inputs, kernel), outputs)
        self.kernel, self.stride, self.dilation = kernel, stride, dilation

    def forward(self, x: Tensor) -> Tensor:
        total = (self.kernel - 1) * self.dilation + 1 - self.stride
        frames = math.ceil(x.shape[-1] / self.stride)
        missing = frames * self.stride - x.shape[-1]
        x = mirrored(x, total - total // 2, total // 2 + missing)
        return F.conv1d(x, self.conv.weight, self.conv.bias, self.stride, dilation=self.dilation)


class Transposed(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convtr = Normed((inputs, outputs, kernel), outputs)
        self.stride, self.spare = stride, kernel - stride

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv_transpose1d(x, self.convtr.weight, self.convtr.bias, self.stride)
        return y[..., self.spare - self.spare // 2 : y.shape[-1] - self.spare // 2]


class Memory(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, 2)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.permute(2, 0, 1)
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)


class Twice(nn.Module):
    """Layers as attributes, and again in order."""

    def in_order(self, *parts: nn.Module) -> None:
        self.layers = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Unit(Twice):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = Conv(width, width // 2, 3, dilation=dilation)
        self.conv2 = Conv(width // 2, width, 1)
        self.in_order(nn.ELU(), self.conv1, nn.ELU(), self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Down(Twice):
    def __init__(self, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.resblock, self.conv = Unit(width, dilation), Conv(width, 2 * width, 2 * stride, stride)
        self.in_order(self.resblock, nn.ELU(), self.conv)


class Up(Twice):
    def __init__(self, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.convtr, self.resblock = Transposed(width, width // 2, 2 * stride, stride), Unit(width // 2, dilation)
        self.in_order(nn.ELU(), self.convtr, self.resblock)


class Encoder(Twice):
    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.conv1 = Conv(1, width, 7)
        self.enc1, self.enc2 = Down(width, 2, 1), Down(2 * width, 4, 2)
        self.enc3, self.enc4 = Down(4 * width, 5, 4), Down(8 * width, 8, 8)
        self.lstm, self.conv2 = Memory(16 * width), Conv(16 * width, dim, 7)
        stages = (self.enc1, self.enc2, self.enc3, self.enc4)
        self.in_order(self.conv1, *stages, self.lstm, nn.ELU(), self.conv2)


class Decoder(Twice):
    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.conv1, self.lstm = Conv(dim, 16 * width, 7), Memory(16 * width)
        self.dec1, self.dec2 = Up(16 * width, 8, 1), Up(8 * width, 5, 2)
        self.dec3, self.dec4 = Up(4 * width, 4, 4), Up(2 * width, 2, 8)
        self.conv2 = Conv(width, 1, 7)
        stages = (self.dec1, self.dec2, self.dec3, self.dec4)
        self.in_order(self.conv1, self.lstm, *stages, nn.ELU(), self.conv2)


class Book(nn.Module):
    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.rand(size) * 9)
        self.register_buffer("embed", torch.randn(size, dim))
        self.register_buffer("embed_avg", torch.randn(size, dim))


class Level(nn.Module):
    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self._codebook = Book(size, dim)


class Levels(nn.Module):
    def __init__(self, count: int, size: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Level(size, dim) for _ in range(count))

    def books(self) -> list[Tensor]:
        return [layer._codebook.embed for layer in self.layers]


class Residual(nn.Module):
    def __init__(self, count: int, size: int, dim: int) -> None:
        super().__init__()
        self.vq = Levels(count, size, dim)


class SwarModel(nn.Module):
    def __init__(self, width: int = 32, dim: int = 128, levels: int = 48, size: int = 1024) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(width, dim), Decoder(width, dim)
        self.quantizer = Residual(levels, size, dim)

    @torch.no_grad()
    def encode(self, wave: Tensor, levels: int) -> Tensor:
        """`[B, 1, T]`, one block, to codes `[levels, B, F]`."""
        rest, codes = self.encoder(wave), []
        for entries in self.quantizer.vq.books()[:levels]:
            x = rest.transpose(1, 2)
            distance = x.square().sum(2, keepdim=True) - 2 * x @ entries.T + entries.square().sum(1)
            codes.append(distance.argmin(2))
            rest = rest - entries[codes[-1]].transpose(1, 2)
        return torch.stack(codes)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes of one block `[levels, B, F]` to sound."""
        books = self.quantizer.vq.books()
        z = sum(entries[level] for entries, level in zip(books, codes, strict=False))
        return self.decoder(z.transpose(1, 2))


SCALE = ((1, 16, 15, 1, 0, 1), (16, 64, 41, 4, 20, 4), (64, 256, 41, 4, 20, 16), (256, 1024, 41, 4, 20, 64))
SCALE += ((1024, 1024, 41, 4, 20, 256), (1024, 1024, 5, 1, 2, 1), (1024, 1, 3, 1, 1, 1))


class Grouped(Normed):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, groups: int) -> None:
        super().__init__((outputs, inputs // groups, kernel), outputs)
        self.sizes = stride, padding, 1, groups

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, *self.sizes)


class OneScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [Grouped(*figures) for figures in SCALE]
        bent = [nn.Sequential(layer, nn.LeakyReLU(0.2)) for layer in layers[:-1]]
        self.discriminator = nn.ModuleList([*bent, layers[-1]])

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer in self.discriminator:
            x = layer(x)
            outputs.append(x)
        return outputs


class ThreeScales(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(OneScale() for _ in range(3))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        outputs = []
        for scale in self.discriminators:
            outputs.append(scale(x))
            x = F.avg_pool1d(x, 4, 2, 1, count_include_pad=False)
        return outputs


Heard = Sequence[Sequence[Tensor]]


def adversarial(fake: Heard) -> Tensor:
    """What the codec pays: the mean of three least squares."""
    return sum((1 - scale[-1]).square().mean() for scale in fake) / 3


def least_squares(real: Heard, fake: Heard) -> Tensor:
    """What discriminators should pay; the project pulls the second towards one as well, by a slip."""
    pairs = zip(real, fake, strict=True)
    return sum((1 - r[-1]).square().mean() + f[-1].square().mean() for r, f in pairs) / 3


def features(real: Heard, fake: Heard) -> Tensor:
    """The mean distance of six features of three scales; the project divides by six after every layer, by a slip."""
    pairs = [(a, b) for r, f in zip(real, fake, strict=True) for a, b in zip(r[:-1], f[:-1], strict=True)]
    return sum((a - b).abs().mean() for a, b in pairs) / len(pairs)


def spectral(target: Tensor, output: Tensor) -> Tensor:
    """One resolution, 1024 points every 256: how far magnitudes are off, and how far their logarithms."""
    window = torch.hann_window(1024)
    a, b = (torch.stft(x[:, 0], 1024, 256, window=window, return_complex=True).abs() for x in (target, output))
    off = torch.linalg.matrix_norm(a - b) / torch.linalg.matrix_norm(a)
    return off.mean() + (a.log() - b.log()).abs().mean()
