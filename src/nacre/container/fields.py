"""Fields of other people's headers, checked before anything is made from them."""

from __future__ import annotations

import json
import struct
from typing import Any

from ..codes import Codes
from ..errors import DamagedError, InputError

MAX_LENGTH = 1 << 40  # samples of one file
MAX_JSON = 1 << 12  # bytes of JSON in a header; real ones take 4 to 100


def whole(value: object, low: int, high: int, what: str) -> int:
    """`value` when it is an integer from `low` to `high`; DamagedError with `what` in the message otherwise."""
    if type(value) is not int or not low <= value <= high:
        got = str(value) if type(value) is int and abs(value) < 1 << 64 else f"a {type(value).__name__}"
        raise DamagedError(f"{what} should be a whole number from {low} to {high}, got {got}")
    return value


def split_header(data: bytes, layout: str) -> tuple[tuple[Any, ...], Any, bytes]:
    """The fixed fields by `struct` layout, the JSON they announce (its size is the second of them), and the rest."""
    start = struct.calcsize(layout)
    if len(data) < start:
        raise DamagedError(f"expected a header of {start} bytes, got {len(data)}: cut short")
    fields = struct.unpack_from(layout, data)
    size = whole(fields[1], 0, MAX_JSON, "the length of the header's JSON")
    if len(data) < start + size:
        raise DamagedError(f"expected {size} bytes of JSON, got {len(data) - start}: cut short")
    try:
        header = json.loads(data[start : start + size])
    except (ValueError, RecursionError):
        raise DamagedError("the JSON in the header cannot be read") from None
    return fields, header, data[start + size :]


def check_whole(codes: Codes, names: tuple[str, ...], container: str) -> str:
    """The codec's name when `codes` are a whole file of one of `names`, which is what `container` can hold."""
    if codes.info.name not in names:
        raise InputError(
            f"{container} holds codes of {' or '.join(names)}, got {codes.info.name}; decode and encode again"
        )
    if codes.start or (codes.lost is not None and codes.lost.any()):
        raise InputError(
            f"{container} holds whole files without gaps, got a piece or lost frames; decode to wav instead"
        )
    return codes.info.name
