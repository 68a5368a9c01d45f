"""DAC's `.dac`: a numpy file around a pickle, read without unpickling. The bytes are in docs/legacy.md.

Letters in shapes: `B` batch, `C` channels of the audio, `K` levels, `F` frames.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ..codes import CodecInfo, Codes
from ..errors import DamagedError, InputError
from .fields import MAX_LENGTH, check_whole, whole
from .plain_pickle import Array, load

# The models that wrote .dac files, the likelier one first where a file fits two.
DAC_CODECS = {
    info.name: info
    for info in (
        CodecInfo("dac-44k", "", 44100, 1, 512, (1024,) * 9),
        CodecInfo("dac-16k", "", 16000, 1, 320, (1024,) * 12),
        CodecInfo("dac-24k", "", 24000, 1, 320, (1024,) * 32),
        CodecInfo("dac-44k-16kbps", "", 44100, 1, 512, (1024,) * 18),
    )
}
# Without padding c codes come from (c + frames) * hop samples and bring out `samples` fewer: the layers' arithmetic.
_UNPADDED = {320: (16, 10654), 512: (15, 16022)}  # hop: (frames, samples)
_LOST = {320: 8}  # hop: samples that the package's decoder cuts off the end
_MAX_CHANNELS = 64
_MAX_RATE = 1 << 20  # Hz
_MAX_HEADER = 1 << 12  # bytes; numpy writes 128
_VERSION = "1.0.0"
_HEADER = re.compile(rb"\{'descr': '\|O', 'fortran_order': (True|False), 'shape': \(\), \} *\n")
_TARGET_DB = -16.0  # LUFS that DAC brings audio to before coding


@dataclass(frozen=True)
class DacMetadata:
    """What a `.dac` says besides its codes."""

    input_db: tuple[float, ...]  # LUFS before coding, one an item
    original_length: int  # samples at `sample_rate`
    sample_rate: int  # Hz, of the audio before coding; the model's own rate is not in the file
    chunk_length: int  # frames of a window; all frames when padding is True
    channels: int  # folded into the batch of the codes
    padding: bool  # False: windows overlap and must be decoded one by one, without padding
    dac_version: str = _VERSION


def read_dac(data: bytes, codec: str | None = None) -> tuple[Codes, DacMetadata]:
    """The codes `[B * C, F]` a level in the bytes of a `.dac` file, and its metadata.

    `codec` names the model, which the file does not; without it the one whose frame count fits is taken.
    """
    stream = io.BytesIO(data)
    stream.seek(_skip_header(data))
    root = load(stream)
    if stream.tell() != len(data):
        raise DamagedError(f"expected the .dac to end with its pickle, got {len(data) - stream.tell()} bytes more")
    held = root.value if isinstance(root, Array) else None
    if not isinstance(held, dict):
        raise DamagedError("expected a .dac that holds a dict of codes and metadata, got something else")
    codes = _check_codes(held.get("codes"))
    metadata = _check_metadata(held.get("metadata"), codes.shape)
    info = _find_codec(codes.shape, metadata) if codec is None else _named_codec(codes.shape, metadata, codec)
    return Codes(tuple(codes.transpose(1, 0, 2)), _coded_length(info, metadata), info), metadata


def write_dac(codes: Codes, metadata: Mapping[str, object] | None = None) -> bytes:
    """The `.dac` file of DAC codes whose batch is the channels of one wave.

    `metadata` holds fields of `DacMetadata`; those not given are made for one padded run at the codec's own rate.
    DAC's decoder brings its output to `input_db`, -16 LUFS when not given.
    """
    info = DAC_CODECS[check_whole(codes, tuple(DAC_CODECS), ".dac")]
    fields: dict[str, object] = {
        "input_db": (_TARGET_DB,),
        "original_length": codes.length,
        "sample_rate": info.sample_rate,
        "chunk_length": codes.frames,
        "channels": codes.batch,
        "padding": True,
        "dac_version": _VERSION,
        **(metadata or {}),
    }
    array = np.stack(codes.levels, axis=1).astype(np.uint16)
    decibels = Array()
    try:
        decibels.value = np.asarray(fields["input_db"], np.float32)
        checked = _check_metadata({**fields, "input_db": decibels}, array.shape)
        _check_frames(array)
    except (DamagedError, TypeError, ValueError) as error:
        raise InputError(f"this cannot be a .dac: {error}") from None
    content = {"codes": array, "metadata": {**asdict(checked), "input_db": np.asarray(checked.input_db, np.float32)}}
    stream = io.BytesIO()
    np.save(stream, np.array(content, dtype=object))
    return stream.getvalue()


def _skip_header(data: bytes) -> int:
    start = 10 if data[6:7] == b"\x01" else 12
    end = start + int.from_bytes(data[8:start], "little")
    if data[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00") or end > min(len(data), _MAX_HEADER):
        raise DamagedError("the numpy header of this .dac is cut short or broken")
    if not _HEADER.fullmatch(data, start, end):
        raise InputError("this numpy file is not a .dac: expected a single object, got an array of another kind")
    return end


def _check_codes(held: object) -> NDArray[np.int64]:
    codes = held.value if isinstance(held, Array) else None
    if not isinstance(codes, np.ndarray) or codes.ndim != 3 or codes.dtype.kind not in "iu":
        raise DamagedError("the codes of a .dac are a whole-number array [batch, level, frame], got something else")
    return _check_frames(codes).astype(np.int64)


def _check_frames(codes: NDArray[np.integer]) -> NDArray[np.integer]:
    if not codes.size:
        raise DamagedError(f"expected at least one code, got an array of shape {list(codes.shape)}")
    if not 0 <= int(codes.min()) <= int(codes.max()) < 1024:
        raise DamagedError(f"codes of DAC run from 0 to 1023, got {codes.min()} to {codes.max()}")
    return codes


def _check_metadata(held: object, shape: tuple[int, ...]) -> DacMetadata:
    if not isinstance(held, dict):
        raise DamagedError("the metadata of a .dac is a dict, got something else")
    if held.get("dac_version") != _VERSION:
        raise InputError(
            f"expected a .dac of version {_VERSION}, got another; convert it with the package that wrote it"
        )
    chunk = whole(held.get("chunk_length"), 1, max(1, shape[2]), "chunk_length")
    padding = held.get("padding")
    if not isinstance(padding, bool) or shape[2] % chunk or (padding and chunk != shape[2]):
        raise DamagedError(f"{shape[2]} frames are not made of windows of {chunk} with padding {padding is True}")
    channels = whole(held.get("channels"), 1, _MAX_CHANNELS, "channels")
    if shape[0] % channels:
        raise DamagedError(f"{channels} channels do not divide a batch of {shape[0]}")
    return DacMetadata(
        input_db=_check_decibels(held.get("input_db"), shape[0]),
        original_length=whole(held.get("original_length"), 0, MAX_LENGTH, "original_length"),
        sample_rate=whole(held.get("sample_rate"), 1, _MAX_RATE, "sample_rate"),
        chunk_length=chunk,
        channels=channels,
        padding=padding,
    )


def _check_decibels(held: object, batch: int) -> tuple[float, ...]:
    value = held.value if isinstance(held, Array) else held
    if not isinstance(value, np.ndarray | float) or np.size(value) > batch:
        raise DamagedError("input_db is one number an item, got something else")
    decibels = np.asarray(value, np.float64).ravel()
    if not decibels.size or not np.isfinite(decibels).all():
        raise DamagedError("input_db should hold loudness in LUFS, got nothing or no numbers")
    return tuple(decibels.tolist())


def _named_codec(shape: tuple[int, ...], metadata: DacMetadata, name: str) -> CodecInfo:
    """The model asked for, when it could have said so many levels and frames."""
    if name not in DAC_CODECS:
        raise InputError(f"a .dac is written by {', '.join(DAC_CODECS)}, got {name[:40]!r}; name one of them")
    info = DAC_CODECS[name]
    if shape[1] > info.levels or _coded_length(info, metadata) > (shape[2] + 1) * info.hop:
        raise InputError(
            f"{name} has {info.levels} levels of {info.frame_rate:g} frames a second, the file has {shape[1]} levels "
            f"and {shape[2]} frames for {metadata.original_length} samples at {metadata.sample_rate} Hz; name another"
        )
    return info


def _find_codec(shape: tuple[int, ...], metadata: DacMetadata) -> CodecInfo:
    """The model whose number of frames fits; a full set of levels, then the same sample rate decide between two."""
    fits = [info for info in DAC_CODECS.values() if shape[1] <= info.levels and _fits(info, shape[2], metadata)]
    ranks = [(info.levels != shape[1], info.sample_rate != metadata.sample_rate) for info in fits]
    best = [info for info, rank in zip(fits, ranks, strict=True) if rank == min(ranks)]
    if not best or len({info.sample_rate for info in best}) > 1:
        which = "several models fit" if best else "no model fits"
        raise InputError(f"a .dac does not name its model, and {which}; say which of {', '.join(DAC_CODECS)} it is")
    return best[0]


def _fits(info: CodecInfo, frames: int, metadata: DacMetadata) -> bool:
    step, chunk = info.hop, 1
    if not metadata.padding:
        more, fewer = _UNPADDED[info.hop]
        chunk = metadata.chunk_length
        step = (chunk + more) * info.hop - fewer
    length = _coded_length(info, metadata)
    more = _LOST.get(info.hop, 0) if metadata.padding else 0  # ours have a frame for them where it takes one
    return step > 0 and any(-(-each // step) * chunk == frames for each in (length - 1, length, length + 1 + more))


def _coded_length(info: CodecInfo, metadata: DacMetadata) -> int:
    return metadata.original_length * info.sample_rate // metadata.sample_rate
