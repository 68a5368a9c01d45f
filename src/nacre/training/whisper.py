"""What a speech recogniser hears of a coded wave: the distance between hidden states of Whisper's encoder.

Radford et al. 2022 (arXiv 2212.04356). HAC v1.1 has such a loss; which layer, size and weight is not known, so all
layers count alike here. The model comes through transformers, from a folder or from what was downloaded before: nothing
is fetched.

Letters in shapes: `B` batch, `C` channels, `T` samples, `F` frames, `M` mel bands.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import MissingError
from ..nn.spectral import MelScale, mel_filters
from .losses import PairLoss
from .spectra import Pair

RATE, N_FFT, HOP = 16_000, 400, 160  # what Whisper hears
STRIDE = 2  # of its second convolution


class WhisperLoss(PairLoss):
    """L1 between hidden states for target and output, the mean over layers; no gradient reaches Whisper itself."""

    def __init__(self, sample_rate: int, model: str) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.encoder = load_encoder(model).eval().requires_grad_(False)
        bands = self.encoder.config.num_mel_bins
        filters = mel_filters(MelScale(RATE, N_FFT, HOP, bands, scale="slaney", equal_area=True))
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.filters: Tensor  # [M, N]
        self.window: Tensor
        self.positions: Tensor = self.encoder.embed_positions.weight.detach().clone()

    def train(self, mode: bool = True) -> WhisperLoss:
        """As in torch, but Whisper never drops anything out."""
        super().train(mode)
        self.encoder.eval()
        return self

    def measure(self, pair: Pair) -> Tensor:
        """The loss, zero for equal waves."""
        with torch.no_grad():
            target = self._hidden(pair.target)
        distances = [F.l1_loss(ours, theirs) for ours, theirs in zip(self._hidden(pair.output), target, strict=True)]
        return torch.stack(distances).mean()

    def _hidden(self, wave: Tensor) -> list[Tensor]:
        mel = self._mel(resampled(wave.flatten(0, 1).float(), self.sample_rate))
        self._fit(mel.shape[-1] // STRIDE)
        states: tuple[Tensor, ...] = self.encoder(mel, output_hidden_states=True).hidden_states
        return list(states)

    def _mel(self, wave: Tensor) -> Tensor:
        """`[B, T]` at 16 kHz to the log mel bands `[B, M, F]` that Whisper was trained on."""
        spectrum = torch.stft(wave, N_FFT, HOP, window=self.window, return_complex=True)
        power = torch.view_as_real(spectrum[..., : wave.shape[-1] // (HOP * STRIDE) * STRIDE]).square().sum(-1)
        log = torch.matmul(self.filters, power).clamp_min(1e-10).log10()
        log = torch.maximum(log, log.amax((1, 2), keepdim=True).detach() - 8)
        return (log + 4) / 4

    def _fit(self, frames: int) -> None:
        """Let Whisper take crops as short as these: it insists on 30 s unless told that it was made for less."""
        if self.encoder.config.max_source_positions != frames:
            weight = self.positions[:frames].to(self.filters.device)
            places = nn.Embedding(weight.shape[0], weight.shape[1])
            places.weight = nn.Parameter(weight, requires_grad=False)
            self.encoder.embed_positions = places
            self.encoder.config.max_source_positions = frames


def load_encoder(model: str) -> Any:
    """The encoder of a Whisper in a folder, or of one that transformers has downloaded before."""
    try:
        from transformers import WhisperModel
    except ImportError as error:
        raise MissingError("what Whisper hears is measured through transformers; pip install transformers") from error
    try:
        return WhisperModel.from_pretrained(model, local_files_only=True).get_encoder()
    except (OSError, ValueError) as error:
        raise MissingError(
            f"no weights of the Whisper {model!r} are here; name its folder with --set whisper=FOLDER"
        ) from error


def resampled(wave: Tensor, rate: int) -> Tensor:
    """`[B, T]` at `rate` brought to 16 kHz by its spectrum: a crop is taken to go round, which its ends can bear."""
    length = round(wave.shape[-1] * RATE / rate)
    if length == wave.shape[-1]:
        return wave
    spectrum = torch.fft.rfft(wave)[..., : length // 2 + 1]
    out: Tensor = torch.fft.irfft(F.pad(spectrum, (0, length // 2 + 1 - spectrum.shape[-1])), n=length)
    return out * (length / wave.shape[-1])
