"""Where each packet of a `.nac` file begins: the seek table, and how a reader of a file finds it."""

from __future__ import annotations

import os
from array import array
from binascii import crc_hqx
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import DamagedError
from .header import Header
from .packets import FRAMING, MAX_LENGTH, MAX_TAG, TABLE, Packet, begin, number_at, parse_tag
from .varint import Cursor, varint

MAX_TABLE = 1 << 22  # bytes
_END = 6  # bytes after the table's entries: checksum and length


@dataclass(frozen=True)
class Index:
    """Offsets of all packets from the beginning of the file, the last one included."""

    count: int  # full packets
    length: int  # samples in the file
    first: int  # offset of packet 0
    step: int  # bytes of a full raw packet
    last: int  # bytes of the last packet
    offsets: array[int] | None = None  # None when all full packets are raw

    def offset(self, number: int) -> int:
        """Where packet `number` begins; `count` is the number of the last packet."""
        return self.first + number * self.step if self.offsets is None else self.offsets[number]


class TableWriter:
    """Collects the sizes of packets as they are written."""

    def __init__(self) -> None:
        self._entries = bytearray()
        self._run = 0  # raw packets since the last entry
        self.needed = False  # whether any packet is not raw

    def raw(self) -> None:
        """A full raw packet was written."""
        self._run += 1

    def copy(self) -> None:
        """A copy of the header was written."""
        self._add(1)

    def coded(self, size: int) -> None:
        """An entropy-coded full packet with `size` bytes of payload was written."""
        self._add(size + 2)

    def packed(self, header: Header, length: int, last: int) -> bytes:
        """The table of a file of `length` samples and `last` bytes of last packet; nothing if none is needed."""
        self._flush()
        body = varint(length) + varint(last) + self._entries
        if not self.needed or len(body) > MAX_TABLE:
            return b""
        table = varint(8 * (len(body)) + TABLE) + body
        table += crc_hqx(table, header.crc).to_bytes(2, "big")
        return table + (len(table) + 4).to_bytes(4, "big")

    def _add(self, value: int) -> None:
        self._flush()
        self._entries += varint(value)
        self.needed = True

    def _flush(self) -> None:
        if self._run:
            self._entries += varint(0) + varint(self._run)
            self._run = 0


def table_size(data: bytes | bytearray, at: int, header: Header) -> int | None:
    """Bytes of the seek table at `data[at:]`, None when there is no whole and undamaged one."""
    cursor = Cursor(data, at)
    try:
        size, kind = divmod(cursor.varint(8 * MAX_TABLE + 7), 8)
        end = cursor.at + size
        cursor.at = end
        crc, stored = crc_hqx(memoryview(data)[at:end], header.crc), int.from_bytes(cursor.take(2), "big")
        whole = int.from_bytes(cursor.take(4), "big")
    except DamagedError:
        return None
    return whole if kind == TABLE and crc == stored and whole == cursor.at - at else None


def locate(file: BinaryIO, base: int, header: Header) -> Index | None:
    """The index of the file that begins at `base`, None when packets must be looked for one by one."""
    here = file.tell()
    try:
        size = file.seek(0, os.SEEK_END) - base
        return _from_table(file, base, size, header) or _from_sizes(file, base, size, header)
    finally:
        file.seek(here)


def _from_table(file: BinaryIO, base: int, size: int, header: Header) -> Index | None:
    first = len(header.packed)
    if size < first + 4 + _END:
        return None
    file.seek(base + size - 4)
    length = int.from_bytes(file.read(4), "big")
    if not 4 + _END <= length <= min(MAX_TABLE + 16, size - first):
        return None
    file.seek(base + size - length)
    data = file.read(length)
    if table_size(data, 0, header) != length:
        return None
    try:
        return _parse(data, size - length, header)
    except DamagedError:
        return None


def _parse(data: bytes, end: int, header: Header) -> Index | None:
    cursor = Cursor(data[:-_END])
    cursor.varint(8 * MAX_TABLE + 7)
    samples = cursor.varint(MAX_LENGTH)
    last = cursor.varint(end)
    step = header.packet_bytes + FRAMING
    at, offsets = len(header.packed), array("Q")
    while cursor.left:
        entry = cursor.varint(1 << 17)
        run = cursor.varint(end // step) if entry == 0 else 1
        if entry == 1:
            at += 1 + len(header.packed)
            continue
        width = step if entry == 0 else entry - 2 + 2 + len(varint(8 * (entry - 2) + 1))
        if at + run * width > end:
            return None
        offsets.extend(range(at, at + run * width, width))
        at += run * width
    offsets.append(at)
    count = len(offsets) - 1
    return Index(count, samples, len(header.packed), step, last, offsets) if end - at == last else None


def _from_sizes(file: BinaryIO, base: int, size: int, header: Header) -> Index | None:
    first, step = len(header.packed), header.packet_bytes + FRAMING
    guess = max(0, (size - first) // step)
    for count in range(guess, max(-1, guess - 2), -1):
        at = first + count * step
        last = _last(file, base + at, size - at, header, count)
        if last is not None and last.total is not None:
            return Index(count, last.total, first, step, last.whole)
    return None


def _last(file: BinaryIO, at: int, size: int, header: Header, number: int) -> Packet | None:
    """The last packet, if it fills just the `size` bytes at `at` and its checksum fits."""
    if not FRAMING <= size <= header.packet_bytes + MAX_TAG + 2:
        return None
    file.seek(at)
    data = file.read(size)
    try:
        packet = parse_tag(data, 0, header, number)
    except DamagedError:
        return None
    fits = packet.last and packet.whole == size and number_at(data, 0, packet, header) == number & 0xFFFF
    return packet if fits and begin(header, number) <= MAX_LENGTH else None
