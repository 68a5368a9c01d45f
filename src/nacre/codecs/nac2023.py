"""NAC (2023): a SEANet that hears both sides, in blocks of two seconds, around a residual quantizer of 48 levels.

The codec of the student project Neural-Audio-Compression (Tribhuvan University 2023, MIT), which calls it SwarModel.
Weights come in through `converters/from_nac2023.py`; its `.nac` files through `container/nac0.py`. They code blocks of
32 000 samples, each as if nothing lay around it, and so does this: a stream waits for a block, and then gives the very
numbers of the whole file, for they are the same computation.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..codes import CodecInfo
from ..nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from ..nn.state import State
from ..quantizers.codebook import CodebookConfig
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import Codec


@dataclass(frozen=True)
class NAC2023Config:
    """Sizes of a NAC of 2023."""

    sample_rate: int = 16_000
    filters: int = 32  # width next to the samples; doubled by every stage
    dim: int = 128  # features that are quantized
    block: int = 100  # frames coded together, 2 s; a last block may have fewer
    levels: int = 48
    codebook_size: int = 1024
    # level counts that training draws from: the report describes such dropout, the code has none; the counts are ours
    dropout: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)

    @property
    def seanet(self) -> SEANetConfig:
        """Both sides: as EnCodec's, but dilated, hearing both ways, and with nothing on the skips."""
        dilations = ((1,), (2,), (4,), (8,))
        return SEANetConfig(dim=self.dim, filters=self.filters, dilations=dilations, identity_skip=True, causal=False)


PRESETS = {"nac-2023": NAC2023Config()}


class NAC2023(Codec):
    """Sound at 16 kHz in up to 48 levels of 10 bits, 50 frames a second: 0.5 kbps a level, 24 kbps with all."""

    encoder: Blocks
    decoder: Blocks
    quantizer: ResidualVQ

    def __init__(self, config: NAC2023Config = PRESETS["nac-2023"], name: str = "nac-2023", digest: str = "") -> None:
        super().__init__()
        seanet, sizes = config.seanet, (config.codebook_size,) * config.levels
        self.config = config
        self.encoder = Blocks(SEANetEncoder(seanet), config.block * seanet.hop)
        codebook = CodebookConfig(kmeans=50)
        self.quantizer = ResidualVQ(
            ResidualVQConfig(seanet.dim, sizes, detach=False, dropout=config.dropout, codebook=codebook)
        )
        self.decoder = Blocks(SEANetDecoder(seanet), config.block)
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=seanet.channels,
            hop=seanet.hop,
            codebook_sizes=sizes,
            preroll=config.block - 1,  # a place inside a block is decoded right from the block's first frame
            lookahead=(config.block - 1) * seanet.hop,
        )


class Blocks(nn.Module):
    """Runs `net` on blocks of `size` positions one by one, each as if it were a whole signal.

    A stream gives a block when it is whole, and the last one, which may be shorter, when `state.last` says so. One that
    begins inside a block (`state.place`) has a short first block, so that all others are those of the whole.
    """

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[B, C, T]` to what `net` makes of all blocks that are there, end to end."""
        if state is None:
            return self._run(list(torch.split(x, self.size, dim=-1)))
        kept = state.get(self)
        # what is missing of the first block is remembered by the width of an empty tensor, for a State holds no numbers
        missing = x.new_zeros(x.shape[0], state.place % self.size) if kept is None else kept[1]
        x = x if kept is None else torch.cat([kept[0], x], dim=-1)
        first = self.size - missing.shape[1]
        if x.shape[-1] < first and not state.last:
            state.put(self, x, missing)
            return self._run([x[..., :0]])
        blocks = [x[..., :first], *torch.split(x[..., first:], self.size, dim=-1)]
        rest = blocks.pop() if not state.last and blocks[-1].shape[-1] < self.size else x[..., :0]
        state.put(self, rest, missing[:, :0])
        return self._run(blocks)

    def _run(self, blocks: list[Tensor]) -> Tensor:
        parts = [self.net(block) for block in blocks if block.shape[-1]] or [self.net(blocks[0])]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
