"""Vocos of the released shapes, but narrow, with weights of which every part matters."""

from __future__ import annotations

from functools import cache

import torch

from nacre.codecs.vocos import MelVocos, TokenVocos, VocosConfig
from nacre.nn.vocoder import VocoderConfig

MEL = VocosConfig(vocoder=VocoderConfig(features=20, dim=12, hidden=20, layers=3))
TOKENS = VocosConfig(
    vocoder=VocoderConfig(features=8, dim=12, hidden=20, layers=3, n_fft=1280, hop=320, centred=False, conditions=3),
    tokens_of="small-encodec",
    levels=(1, 2, 4),
    codebook_size=16,
)


def shaken(vocos: torch.nn.Module) -> None:
    """Move all weights well away from where they start."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in vocos.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)


@cache
def small_mel_vocos() -> MelVocos:
    """Of 20 mel bands."""
    vocos = MelVocos(MEL, "small-mel-vocos")
    shaken(vocos)
    return vocos.eval()


@cache
def small_token_vocos() -> TokenVocos:
    """Of the codes of `small_encodec`."""
    vocos = TokenVocos(TOKENS, "small-vocos")
    shaken(vocos)
    vocos.entries.normal_()
    return vocos.eval()
