"""Channel counts: how many there are made from how many came, and in which order files keep them.

Channels come in the order of WAV and FLAC: left, right, centre, low, back left, back right, side left, side right
(with 7: left, right, centre, low, back, side left, side right). `C` channel, `T` sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Block = NDArray[np.float32]  # [C, T]
MAX_CHANNELS = 64

# ITU-R BS.775: a centre or surround channel joins the sides 3 dB down; the low channel is left out.
_K = 0.5**0.5
_LEFT = {
    3: (1, 0, _K),
    4: (1, 0, _K, 0),
    5: (1, 0, _K, _K, 0),
    6: (1, 0, _K, 0, _K, 0),
    7: (1, 0, _K, 0, _K * _K, _K, 0),
    8: (1, 0, _K, 0, _K, 0, _K, 0),
}
_RIGHT = {
    3: (0, 1, _K),
    4: (0, 1, 0, _K),
    5: (0, 1, _K, 0, _K),
    6: (0, 1, _K, 0, 0, _K),
    7: (0, 1, _K, 0, _K * _K, 0, _K),
    8: (0, 1, _K, 0, 0, _K, 0, _K),
}
# Where Ogg (Vorbis I, section 4.3.9, and Opus after it) keeps each channel of the WAV order.
_OGG = {3: (0, 2, 1), 5: (0, 2, 1, 3, 4), 6: (0, 2, 1, 5, 3, 4), 7: (0, 2, 1, 6, 5, 3, 4), 8: (0, 2, 1, 7, 5, 6, 3, 4)}


def check_channels(channels: int) -> int:
    """`channels` if files and waves of ours can have so many."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"expected 1 to {MAX_CHANNELS} channels, got {channels}")
    return channels


def mix_channels(wave: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """`wave` `[..., C, T]` with `channels` channels.

    Mono is copied to every channel. Stereo becomes mono as the mean. Three to eight channels become stereo as
    ITU-R BS.775 says, scaled so that nothing can clip, and mono as the mean of that. No other map exists.
    """
    wave = np.asarray(wave, np.float32)
    check_channels(channels)
    if wave.ndim < 2:
        raise InputError(f"expected samples [channel, sample] or [batch, channel, sample], got {list(wave.shape)}")
    came = wave.shape[-2]
    if came == channels:
        return wave
    if came == 1:
        return np.repeat(wave, channels, axis=-2)
    # Term by term and not as a matrix product, whose sums may depend on how many samples come at once.
    rows = [
        sum(np.float32(weight) * wave[..., i, :] for i, weight in enumerate(row) if weight)
        for row in _weights(came, channels)
    ]
    return np.stack(rows, axis=-2).astype(np.float32, copy=False)


def _weights(came: int, wanted: int) -> list[tuple[float, ...]]:
    if came == 2 and wanted == 1:
        return [(0.5, 0.5)]
    if came not in _LEFT or wanted > 2:
        raise InputError(
            f"there is no rule to make {wanted} channels of {came}; pick or mix the channels before handing them in"
        )
    stereo = [tuple(weight / sum(row) for weight in row) for row in (_LEFT[came], _RIGHT[came])]
    if wanted == 2:
        return stereo
    return [tuple((left + right) / 2 for left, right in zip(*stereo, strict=True))]


def from_ogg(block: Block) -> Block:
    """A block `[C, T]` in Ogg's channel order, put into WAV's."""
    order = _OGG.get(len(block))
    return block if order is None else block[list(order)]


def to_ogg(block: Block) -> Block:
    """A block `[C, T]` in WAV's channel order, put into Ogg's."""
    order = _OGG.get(len(block))
    return block if order is None else block[np.argsort(order)]
