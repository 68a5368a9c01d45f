"""A SNAC that is quick to run and whose every part matters: weights not tiny, ripples not 1."""

from __future__ import annotations

import torch
from lively import lively

from nacre.codecs.snac import SNAC, SNACConfig
from nacre.nn.weight_norm import fuse

SPEECH = SNACConfig(16_000, (2, 4, 8, 8), 2, 32, codebook_size=64)
MUSIC = SNACConfig(16_000, (2, 3, 8, 8), 4, 64, (8, 4, 2, 1), window=32, codebook_size=64)
EARLY = SNACConfig(16_000, (3, 3, 7, 7), 4, 64, (8, 4, 2, 1), window=32, codebook_size=64)
DENSE = SNACConfig(16_000, (2, 3, 4), 8, 64, (2, 1), window=4, codebook_size=64, noise=False, depthwise=False)
SMALL = {"small-speech": SPEECH, "small-music": MUSIC, "small-early": EARLY, "small-dense": DENSE}


def small_snac(name: str) -> SNAC:
    """One of SMALL, the same at every call."""
    torch.manual_seed(0)
    return fuse(lively(SNAC(SMALL[name], name))).eval()
