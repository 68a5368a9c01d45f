"""A wave through one stream of a codec, there and back, in chunks of given sizes; and several through one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nacre import CodecContract, Codes


def streamed(codec: CodecContract, wave: np.ndarray, sizes: Sequence[int]) -> tuple[Codes, np.ndarray]:
    """All codes and all sound that the stream gave; what `sizes` leave of `wave` is the last chunk."""
    stream, pieces, sounds = codec.stream(), [], []
    edges = np.minimum(np.cumsum([0, *sizes]), wave.shape[2]).tolist()
    for begin, end in zip(edges, [*edges[1:], wave.shape[2]], strict=True):
        last = end == wave.shape[2]
        pieces.append(stream.encode(wave[:, :, begin:end], last))
        sounds.append(stream.decode(pieces[-1], last))
        if last:
            break
    return Codes.join(pieces), np.concatenate(sounds, axis=2)


def assert_batch_is_its_items(codec: CodecContract, wave: np.ndarray, atol: float) -> None:
    """Each item of `wave` alone has the codes that it has among the others, and sounds the same but for `atol`."""
    together = codec.encode(wave)
    sounds = codec.decode(together)
    for i, item in enumerate(wave):
        alone = codec.encode(item[None])
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone.levels, together.levels, strict=True))
        assert np.abs(codec.decode(alone)[0] - sounds[i]).max() < atol
