"""Finding whole packets again after damage, or in a stream that is taken up in the middle."""

from __future__ import annotations

import re
from contextlib import suppress

from ..errors import DamagedError
from .header import LEAD, Header, metadata_size, parse_header
from .packets import COPY, FRAMING, MAX_TAG, TABLE, Packet, check_number, number_at, parse_tag
from .source import Source

_BUDGET = 1 << 26  # bytes of checksums, after which searches in one stream give up
_PLACE = 16  # what looking at one place counts for in that budget
_STEP = 1 << 16  # bytes searched before they are let go
_ZEROS = 32  # a run of zero bytes in which no search begins: a raw packet could begin at each of them
_FAR = 4096  # packets that may be missing from one stream without a trace
_BEGINNING = b"NAC\x01"
_NOT_ZERO = re.compile(rb"[^\0]")


def reach(header: Header) -> int:
    """Bytes that no packet passes."""
    return header.packet_bytes + FRAMING + MAX_TAG


def whole_packet(data: bytes | bytearray, at: int, header: Header, number: int) -> Packet | None:
    """Packet `number` if it stands undamaged at `data[at:]`."""
    try:
        packet = parse_tag(data, at, header, number)
    except DamagedError:
        return None
    return packet if check_number(data, at, packet, header, number) else None


def repair_last(data: bytearray, header: Header, number: int) -> Packet | None:
    """Undo one wrong bit in the tag of the last packet, which fills `data`: its length has no second witness."""
    for bit in range(8 * min(8, len(data))):
        data[bit >> 3] ^= 1 << (bit & 7)
        packet = whole_packet(data, 0, header, number)
        if packet is not None and packet.last and packet.whole == len(data):
            return packet
        data[bit >> 3] ^= 1 << (bit & 7)
    return None


def wait_for_header(source: Source) -> Header:
    """Move on to just behind the next header in the stream."""
    while source.fill(LEAD.size) >= LEAD.size:
        at = source.data.find(_BEGINNING)
        source.drop(at if at >= 0 else len(source.data) - len(_BEGINNING) + 1)
        if at < 0 or source.fill(LEAD.size) < LEAD.size:
            continue
        try:
            source.fill(LEAD.size + metadata_size(bytes(source.data[: LEAD.size])) + 2)
            header = parse_header(bytes(source.data))
        except DamagedError:
            source.drop(1)
            continue
        source.drop(len(header.packed))
        return header
    raise DamagedError("no header was found in this stream; its writer must repeat it, or read it from its beginning")


class Finder:
    """Moves a source on to the next whole packet; all its searches, up to a seek, share one budget."""

    def __init__(self, source: Source, header: Header) -> None:
        self.source, self.header = source, header
        self.work = 0  # bytes of checksums computed
        self.far = _FAR  # packets that may still be missing without a trace
        self._copy = bytes([COPY]) + header.packed
        self._ahead = 3 * (reach(header) + len(self._copy))

    def find(self, expected: int | None) -> int | None:
        """The number of the packet found, or None (and nothing left) when there is no more.

        `expected` is the number of the packet that is damaged here, None in a stream whose place is not known.
        """
        near = None if expected is None else self._at_hand(expected)
        if near is not None:
            self.source.drop(near)
            return (expected or 0) + 1
        number = self._search(expected)
        while number is None and self.source.fill(_STEP):
            self.source.drop(_STEP)
        return number

    def _at_hand(self, expected: int) -> int | None:
        """Where the next packet begins, if it is where the damaged tag or a raw packet's length puts it."""
        header, data = self.header, self.source.data
        self.source.fill(self._ahead)
        places = [header.packet_bytes + FRAMING]
        with suppress(DamagedError):
            places.append(parse_tag(data, 0, header, expected).whole)
        found = (at for at in places if whole_packet(data, self._behind_copies(at), header, expected + 1) is not None)
        return next(found, None)

    def _search(self, expected: int | None) -> int | None:
        at, skipped = 0, 0
        while self.work < _BUDGET:
            available = self.source.fill(at + self._ahead)
            if at >= available:
                return None
            number = self._chain(at, skipped, expected, available < at + self._ahead)
            if number is not None:
                self.far -= 0 if expected is None else max(0, number - expected - (skipped + at) // FRAMING)
                self.source.drop(at)
                return number
            self.work += _PLACE
            at = self._next(at + 1)
            if at >= _STEP:
                skipped += at
                self.source.drop(at)
                at = 0
        return None

    def _next(self, at: int) -> int:
        data = self.source.data
        if data[at : at + _ZEROS] != bytes(_ZEROS):
            return at
        found = _NOT_ZERO.search(data, at)
        return (found.start() if found else len(data)) - _ZEROS + 1

    def _chain(self, at: int, skipped: int, expected: int | None, ended: bool) -> int | None:
        """The number of the packet at `at` if enough good ones follow it, or a good one that ends the stream."""
        first, links, needed = 0, 0, 1
        while links < needed:
            link = self._link(self._behind_copies(at), expected)
            if link is None:
                return None
            at, packet, number = link
            if not links:
                first, needed = number, self._needed(number, expected, skipped + at - packet.whole)
            if number != (first + links) & 0xFFFF or not needed:
                return None
            links += 1
            if packet.last:
                return _unfold(first, expected) if links > 1 and self._ends(at, ended) else None
        return _unfold(first, expected)

    def _behind_copies(self, at: int) -> int:
        while self.source.data.startswith(self._copy, at):
            at += len(self._copy)
        return at

    def _ends(self, at: int, ended: bool) -> bool:
        data = self.source.data
        return ended if at == len(data) else data[at] & 7 == TABLE

    def _needed(self, number: int, expected: int | None, skipped: int) -> int:
        """How many packets must agree: fewer where the bytes skipped account for those missing; 0 for never."""
        if expected is None:
            return 3
        missing = (number - expected) & 0xFFFF
        if 1 <= missing <= skipped // FRAMING + 1:
            return 2
        return 3 if 1 <= missing <= self.far else 0

    def _link(self, at: int, expected: int | None) -> tuple[int, Packet, int] | None:
        """Where the packet at `at` ends, what its tag says, and the number that would make its checksum fit."""
        data = self.source.data
        try:
            packet = parse_tag(data, at, self.header, 1 if expected is None else expected + 1)
        except DamagedError:
            return None
        number = number_at(data, at, packet, self.header)
        if number is None:
            return None
        self.work += packet.whole
        return at + packet.whole, packet, number


def _unfold(number: int, expected: int | None) -> int:
    return number if expected is None else expected + ((number - expected) & 0xFFFF)
