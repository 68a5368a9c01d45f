"""Vocos: a decoder for other codecs' tokens and for mel bands, by one inverse Fourier transform.

Siuzdak 2023 (arXiv 2306.00814), true to `vocos` 0.1.0. Inference and import; official weights come in through
`converters/from_vocos.py`. It hears both sides of a frame, so it streams late by `lookahead`, and is exact for that.

Letters in shapes: `B` batch, `C` channels, `D` features, `F` frames, `K` levels, `M` mel bands, `T` samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codes import CodecInfo, Codes, Level
from ..contract import CodecContract, Stream, Wave, check_shape
from ..errors import InputError
from ..nn.padding import Kernel
from ..nn.spectral import STFT, MelScale, mel_filters
from ..nn.state import State
from ..nn.vocoder import Vocoder, VocoderConfig


@dataclass(frozen=True)
class VocosConfig:
    """Sizes of a Vocos. The defaults are the released one for mel bands."""

    sample_rate: int = 24_000
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    floor: float = 1e-7  # the least that a mel band is taken for before its logarithm
    tokens_of: str = ""  # the codec whose tokens it says, "" when mel bands come in
    levels: tuple[int, ...] = ()  # how many of its levels there may be; the vocoder has a condition for each
    codebook_size: int = 1024


PRESETS = {
    "vocos-mel-24k": VocosConfig(),
    "vocos-encodec-24k": VocosConfig(
        vocoder=VocoderConfig(
            features=128, dim=384, hidden=1152, layers=8, n_fft=1280, hop=320, centred=False, conditions=4
        ),
        tokens_of="encodec-24k",
        levels=(2, 4, 8, 16),
    ),
}


class MelVocos(nn.Module):
    """Sound of mel bands: `vocos(mel)`, or `vocos(chunk, state)` in a stream whose last chunk has `state.last` set."""

    def __init__(
        self, config: VocosConfig = PRESETS["vocos-mel-24k"], name: str = "vocos-mel-24k", digest: str = ""
    ) -> None:
        super().__init__()
        self.config, self.name, self.digest = config, name, digest
        self.vocoder = Vocoder(config.vocoder)
        sizes = config.vocoder
        self.mel = MelScale(config.sample_rate, sizes.n_fft, sizes.hop, sizes.features, floor=config.floor)
        self.stft = STFT(Kernel(sizes.n_fft, sizes.hop, left=0), torch.hann_window(sizes.n_fft, dtype=torch.float64))
        self.register_buffer("filters", mel_filters(self.mel), persistent=False)
        self.filters: Tensor  # [M, N]

    def forward(self, mel: Tensor, state: State | None = None) -> Tensor:
        """Samples `[B, 1, (F - 1) * hop]` of log mel bands `[B, M, F]`, whose frames have their middle at hops."""
        sound: Tensor = self.vocoder(mel, state)
        return sound

    def features(self, wave: Tensor) -> Tensor:
        """Log mel bands `[B, M, T // hop + 1]` of a whole wave `[B, 1, T]`, as the released weights expect them."""
        half = self.mel.n_fft // 2
        if wave.ndim != 3 or wave.shape[1] != 1 or wave.shape[2] <= half:
            raise InputError(f"mel bands need a wave [batch, 1, more than {half} samples], got {list(wave.shape)}")
        spectra = self.stft(F.pad(wave, (half, half), "reflect"))[..., : wave.shape[2] // self.mel.hop + 1]
        real, imaginary = spectra.chunk(2, dim=1)
        bands = torch.matmul(self.filters, (real.square() + imaginary.square()).sqrt())
        return bands.clamp(min=self.mel.floor).log()


class TokenVocos(nn.Module, CodecContract):
    """Sound of another codec's `Codes`, decoded in that codec's place, also in a stream; it does not encode."""

    def __init__(
        self, config: VocosConfig = PRESETS["vocos-encodec-24k"], name: str = "vocos-encodec-24k", digest: str = ""
    ) -> None:
        super().__init__()
        self.config, sizes = config, config.vocoder
        self.vocoder = Vocoder(sizes)
        levels = max(config.levels)
        self.register_buffer("entries", torch.zeros(levels, config.codebook_size, sizes.features))
        self.entries: Tensor  # [K, entries of a level, D]
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=sizes.hop,
            codebook_sizes=(config.codebook_size,) * levels,
            preroll=sizes.preroll,
            lookahead=sizes.lookahead,
        )

    def forward(self, levels: Sequence[Tensor], state: State | None = None) -> Tensor:
        """Samples `[B, 1, F * hop]` of levels of codes `[B, F]`."""
        if len(levels) not in self.config.levels:
            counts = ", ".join(map(str, self.config.levels))
            raise InputError(f"{self.info.name} decodes {counts} levels, got {len(levels)}; ask for a bitrate of these")
        z = torch.stack([F.embedding(codes, book) for codes, book in zip(levels, self.entries, strict=False)]).sum(0)
        sound: Tensor = self.vocoder(z.transpose(1, 2), state, self.config.levels.index(len(levels)))
        return sound

    def decodes(self, info: CodecInfo) -> bool:
        """True for its own codes and those of the codec in whose place it decodes."""
        return info.name == self.config.tokens_of or super().decodes(info)

    def stream(self, levels: int | None = None) -> Stream:
        """A new stream, to decode with."""
        return _TokenStream(self, self.info.check_levels(levels))

    def new_state(self) -> State:
        """The state of a stream that has heard nothing yet."""
        return State()

    def end(self, state: State) -> None:
        """The layers catch up with their look-ahead in the coming call."""
        state.last = True

    def encode_frames(self, wave: Wave, state: State, levels: int) -> tuple[Level, ...]:
        """An error: only decoders are called Vocos."""
        raise InputError(f"{self.info.name} only decodes; encode with {self.config.tokens_of}")

    @torch.inference_mode()
    def decode_frames(self, levels: Sequence[Level], state: State) -> Wave:
        """Samples of whole frames of levels."""
        tokens = [torch.from_numpy(level).to(self.entries.device) for level in levels]
        return np.asarray(self(tokens, state).float().cpu().numpy())


class _TokenStream(Stream):
    """A stream that takes the codes of another codec as its own."""

    def decode(self, codes: Codes, last: bool = False) -> Wave:
        info = self.codec.info
        assert isinstance(self.codec, TokenVocos)
        whose = self.codec.config.tokens_of
        if isinstance(codes, Codes) and codes.info.name == whose:
            check_shape(codes, info)
            codes = replace(codes, info=info)
        elif isinstance(codes, Codes) and codes.info.name != info.name:
            raise InputError(f"{info.name} decodes what {whose} said, got codes of {codes.info.name}")
        return super().decode(codes, last)
