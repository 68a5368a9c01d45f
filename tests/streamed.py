"""A wave through one stream of a codec, there and back, in chunks of given sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nacre import CodecContract, Codes


def streamed(codec: CodecContract, wave: np.ndarray, sizes: Sequence[int]) -> tuple[Codes, np.ndarray]:
    """All codes and all sound that the stream gave; what `sizes` leave of `wave` is the last chunk."""
    stream, pieces, sounds = codec.stream(), [], []
    edges = np.minimum(np.cumsum([0, *sizes]), wave.shape[2]).tolist()
    for begin, end in zip(edges, [*edges[1:], wave.shape[2]], strict=True):
        pieces.append(stream.encode(wave[:, :, begin:end], last=end == wave.shape[2]))
        sounds.append(stream.decode(pieces[-1]))
        if end == wave.shape[2]:
            break
    return Codes.join(pieces), np.concatenate(sounds, axis=2)
