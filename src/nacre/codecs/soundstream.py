"""SoundStream: the codec that residual quantization began with, as its paper has it and as AcademiCodec built it.

Zeghidour et al. 2021 (arXiv 2107.03312): causal, without any normalisation, and with a switch between sound as it is
and sound freed of noise. No code or weights of it are public. AcademiCodec (arXiv 2305.02765) calls an EnCodec that
hears both sides SoundStream, and trains its "EnCodec" models with the same network; their weights come in through
`converters/from_soundstream.py`.

Letters in shapes: `B` batch, `C` channels, `T` samples, `D` features, `F` frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..codes import CodecInfo, Codes, Level
from ..contract import CodecContract, Stream, UnpaddedStream, Wave, check_wave
from ..errors import InputError
from ..nn.blocks import Chain
from ..nn.reach import lookahead, preroll
from ..nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from ..nn.state import State
from ..quantizers.codebook import CodebookConfig
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import Codec, Reconstruction

Switch = bool | Sequence[bool]  # denoise: all of a sound, or yes and no for each of its frames

PAPER = SEANetConfig(
    dim=512,
    unit_kernel=7,
    dilations=((1, 3, 9),) * 4,
    compress=1,
    identity_skip=True,
    lstm=0,
    pad="zero",
    norm="none",
)


@dataclass(frozen=True)
class SoundStreamConfig:
    """Sizes of a SoundStream. The defaults are the paper's at 24 kHz."""

    sample_rate: int = 24_000
    seanet: SEANetConfig = PAPER  # both sides
    last_kernel: int = 3  # of the encoder, instead of that in `seanet`
    levels: int = 24
    codebook_size: int = 1024
    dropout: tuple[int, ...] = tuple(range(1, 25))  # level counts that training draws from
    detach: bool = True  # commitment of later levels reaches the encoder; not in AcademiCodec, nor in EnCodec
    kmeans: int = 10  # iterations that codebooks start with
    film: Literal["encoder", "decoder"] | None = None  # the side with the switch for denoising
    preroll: int | None = None  # frames; None: what the decoder hears. An LSTM never quite forgets

    def __post_init__(self) -> None:
        if self.seanet.causal and not self.at_once:
            raise InputError("a causal SoundStream pads with zeros: what it mirrors is there too late; set seanet.pad")
        if self.film and not self.at_once:
            raise InputError("a denoising switch needs a causal SoundStream that pads with zeros; leave out film")

    @property
    def at_once(self) -> bool:
        """Whether each frame comes out as soon as it is whole."""
        return self.seanet.causal and self.seanet.pad == "zero"


def _academicodec(sample_rate: int, strides: tuple[int, ...], dropout: tuple[int, ...]) -> SoundStreamConfig:
    seanet = SEANetConfig(dim=512, strides=strides, causal=False)
    second = sample_rate // seanet.hop  # of frames, after which the LSTM has all but forgotten
    levels = dropout[-1]
    return SoundStreamConfig(sample_rate, seanet, 7, levels, dropout=dropout, detach=False, kmeans=50, preroll=second)


_16K_320D = _academicodec(16_000, (2, 4, 5, 8), (2, 3, 4, 8, 12, 24))  # 1, 1.5, 2, 4, 6, 12 kbps
_24K_240D = _academicodec(24_000, (2, 4, 5, 6), (1, 2, 4, 8, 12))  # as many kbps
PRESETS = {
    "soundstream-24k": SoundStreamConfig(),
    "soundstream-24k-c16": SoundStreamConfig(seanet=replace(PAPER, filters=16)),
    "soundstream-16k-320d": _16K_320D,
    "soundstream-24k-240d": _24K_240D,  # AcademiCodec's training makes 15 levels of it, its test script 12
    "encodec-16k-320d": _16K_320D,
    "encodec-24k-240d": _24K_240D,
    "encodec-24k-32d": _academicodec(24_000, (4, 2, 2, 2), (1, 2)),  # 7.5, 15 kbps
}


class SoundStream(Codec):
    """Any sound in nested levels of 10 bits; the paper's 24 levels at 75 frames a second are 0.75 to 18 kbps.

    With `config.film`, `encode` or `decode` (the side that has the switch) take `denoise`, and a stream has it as a
    switch that may be turned between any two chunks.
    """

    def __init__(
        self, config: SoundStreamConfig = PRESETS["soundstream-24k"], name: str = "soundstream-24k", digest: str = ""
    ) -> None:
        super().__init__()
        seanet, sizes = config.seanet, (config.codebook_size,) * config.levels
        self.config = config
        self.encoder: Chain = SEANetEncoder(replace(seanet, last_kernel=config.last_kernel))
        book = CodebookConfig(kmeans=config.kmeans)
        self.quantizer = ResidualVQ(
            ResidualVQConfig(seanet.dim, sizes, detach=config.detach, dropout=config.dropout, codebook=book)
        )
        self.decoder: Chain = SEANetDecoder(seanet)
        # the switch sits next to the quantizer, but for one convolution
        if config.film == "encoder":
            self.encoder.insert(len(self.encoder) - 1, FiLM(seanet.widest))
        elif config.film == "decoder":
            self.decoder.insert(1, FiLM(seanet.widest))
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=seanet.channels,
            hop=seanet.hop,
            codebook_sizes=sizes,
            preroll=preroll(self.decoder) if config.preroll is None else config.preroll,
            lookahead=lookahead(self.encoder, self.decoder, seanet.hop),
        )

    def forward(self, wave: Tensor, denoise: Tensor | None = None) -> Reconstruction:
        """Code `[B, C, T]` and come back; `denoise`, bool `[B]` or `[B, F]`, says how the switch stands."""
        length = wave.shape[-1]
        if self.config.at_once:  # else the layers pad a frame that is not whole, as EnCodec's do
            wave = nn.functional.pad(wave, (0, -length % self.info.hop))
        quantized = self.quantizer(self.encoder(wave, self._whole(denoise)))
        return Reconstruction(self.decoder(quantized.z, self._whole(denoise))[..., :length], quantized)

    def encode(self, wave: Wave, levels: int | None = None, denoise: Switch = False) -> Codes:
        """As every codec; where the switch is in the encoder, `denoise` frees all of the sound, or frames, of noise."""
        if not self._has_switch("encoder", denoise):
            return super().encode(wave, levels)
        wave, hop = check_wave(wave, self.info), self.info.hop
        stream, pieces = self.stream(levels), []
        for begin, end, on, last in _runs(denoise, self.info.frames(wave.shape[2])):
            stream.denoise = on
            pieces.append(stream.encode(wave[:, :, begin * hop : end * hop], last))
        return Codes.join(pieces)

    def decode(self, codes: Codes, denoise: Switch = False) -> Wave:
        """As every codec; where the switch is in the decoder, `denoise` frees all of the sound, or frames, of noise."""
        if not self._has_switch("decoder", denoise):
            return super().decode(codes)
        stream, sounds = self.stream(), []
        for begin, end, on, last in _runs(denoise, codes.frames):
            stream.denoise = on
            sounds.append(stream.decode(codes.cut(begin, end), last))
        return np.concatenate(sounds, axis=2)

    def stream(self, levels: int | None = None) -> SoundStreamStream:
        """A new two-way stream, with a switch for denoising where the codec has one."""
        return SoundStreamStream(self, self.info.check_levels(levels))

    def encode_frames(self, wave: Wave, state: State, levels: int, denoise: bool = False) -> tuple[Level, ...]:
        """As every codec, with the switch for all of these frames."""
        if self._has_switch("encoder", denoise):
            self._set(state, torch.full((len(wave),), denoise))
        return super().encode_frames(wave, state, levels)

    def decode_frames(self, levels: Sequence[Level], state: State, denoise: bool = False) -> Wave:
        """As every codec, with the switch for all of these frames."""
        if self._has_switch("decoder", denoise):
            self._set(state, torch.full((len(levels[0]),), denoise))
        return super().decode_frames(levels, state)

    def _has_switch(self, side: str, denoise: Switch) -> bool:
        if self.config.film != side and bool(np.any(denoise)):
            place = f"in its {self.config.film}" if self.config.film else "nowhere; build it with config.film"
            raise InputError(f"denoise was asked of the {side}, but {self.info.name} has that switch {place}")
        return bool(self.config.film == side)

    def _set(self, state: State, denoise: Tensor) -> None:
        film = next(layer for layer in self.modules() if isinstance(layer, FiLM))
        state.put(film, denoise.to(self.device).long())

    def _whole(self, denoise: Tensor | None) -> State | None:
        """The past of a whole sound: nothing but how the switch stands."""
        if denoise is None:
            return None
        if self.config.film is None:
            raise InputError(f"denoise was given, but {self.info.name} has no such switch; build it with config.film")
        state = State()
        state.last = True
        self._set(state, denoise)
        return state


class FiLM(nn.Module):
    """A gain and a shift for every feature, of two kinds that a switch chooses from, frame by frame.

    Perez et al. 2018 (arXiv 1709.07871). The paper's linear layer over a one-hot vector of two is a table of two rows.
    The switch stands in the State, int64 `[B]` or `[B, F]`; without one it is off. Starts as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2, channels))
        self.shift = nn.Parameter(torch.zeros(2, channels))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[B, C, F] -> [B, C, F]`."""
        kept = state.get(self) if state is not None else None
        rows = x.new_zeros(len(x), dtype=torch.long) if kept is None else kept[0]
        rows = rows[:, None] if rows.ndim == 1 else rows
        return x * self.gain[rows].transpose(1, 2) + self.shift[rows].transpose(1, 2)


class SoundStreamStream(UnpaddedStream):
    """A stream whose denoising may be turned on and off between chunks: `stream.denoise = True`.

    The switch counts for the frames that a chunk completes, on the side of the codec that has it.
    """

    def __init__(self, codec: SoundStream, levels: int) -> None:
        self._switched = _Switched(codec)
        super().__init__(self._switched, levels)

    @property
    def denoise(self) -> bool:
        """Whether what comes next is freed of noise."""
        return self._switched.denoise

    @denoise.setter
    def denoise(self, on: bool) -> None:
        """Turn the switch."""
        self._switched.turn(on)

    def _blocks(self, wave: Wave, unit: int) -> tuple[Level, ...]:
        at_once = self._switched.codec.config.at_once  # then zeros fill the last frame
        return Stream._blocks(self, wave, unit) if at_once else super()._blocks(wave, unit)


class _Switched(CodecContract):
    """A SoundStream as one stream sees it: the codec, and how this stream's switch stands."""

    def __init__(self, codec: SoundStream) -> None:
        self.codec, self.info, self.denoise = codec, codec.info, False

    def turn(self, on: bool) -> None:
        if on and self.codec.config.film is None:
            raise InputError(f"{self.info.name} has no switch for denoising; build it with config.film")
        self.denoise = bool(on)

    def encode_frames(self, wave: Wave, state: State, levels: int) -> tuple[Level, ...]:
        return self.codec.encode_frames(wave, state, levels, self.denoise and self.codec.config.film == "encoder")

    def decode_frames(self, levels: Sequence[Level], state: State) -> Wave:
        return self.codec.decode_frames(levels, state, self.denoise and self.codec.config.film == "decoder")

    def new_state(self) -> State:
        return self.codec.new_state()

    def end(self, state: State) -> None:
        self.codec.end(state)


def _runs(denoise: Switch, frames: int) -> Iterator[tuple[int, int, bool, bool]]:
    """Begin, end and switch of the runs of frames that are treated alike, and whether a run is the last."""
    if isinstance(denoise, bool | np.bool_):
        yield 0, frames, bool(denoise), True
        return
    if len(denoise) != frames:
        raise InputError(f"denoise should say yes or no once, or for each of {frames} frames, got {len(denoise)}")
    at = 0
    for on, run in itertools.groupby(denoise, bool):
        begin, at = at, at + sum(1 for _ in run)
        yield begin, at, on, at == frames
    if not frames:
        yield 0, 0, False, True
