"""Finding whole packets again after damage, or in a stream that is taken up in the middle."""

from __future__ import annotations

import re
from contextlib import suppress

from ..errors import DamagedError
from .header import LEAD, Header, metadata_size, parse_header
from .packets import FRAMING, MAX_TAG, TABLE, Packet, check_number, number_at, parse_tag, raw_size
from .source import Source

_BUDGET = 1 << 26  # bytes of checksums after which a search gives up
_STEP = 1 << 16  # bytes searched before they are let go
_ZEROS = 32  # a run of zero bytes in which no search begins: a raw packet could begin at each of them
_FAR = 4096  # packets that may be missing without a trace
_BEGINNING = b"NAC\x01"
_NOT_ZERO = re.compile(rb"[^\0]")


def reach(header: Header) -> int:
    """Bytes that no packet passes."""
    return raw_size(header, header.packet_frames) + FRAMING + MAX_TAG


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


def find(source: Source, header: Header, expected: int | None) -> int | None:
    """Move on to the next whole packet; its number, or None (and nothing left) when there is no more.

    `expected` is the number of the packet that is damaged here, None in a stream whose place is not known.
    """
    near = None if expected is None else _at_hand(source, header, expected)
    if near is not None:
        source.drop(near)
        return (expected or 0) + 1
    search = _Search(source, header, expected)
    number = search.run()
    if number is None:
        source.drop(len(source.data))
    return number


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


def _at_hand(source: Source, header: Header, expected: int) -> int | None:
    """Where the next packet begins, if it is where the damaged tag or a raw packet's length puts it."""
    source.fill(2 * reach(header))
    places = [raw_size(header, header.packet_frames) + FRAMING]
    with suppress(DamagedError):
        places.append(parse_tag(source.data, 0, header, expected).whole)
    for at in places:
        if whole_packet(source.data, at, header, expected + 1) is not None:
            return at
    return None


class _Search:
    """Looks at every place for packets with consecutive numbers that follow each other."""

    def __init__(self, source: Source, header: Header, expected: int | None) -> None:
        self.source, self.header, self.expected = source, header, expected
        self.work = 0  # bytes of checksums computed
        self.skipped = 0  # bytes let go

    def run(self) -> int | None:
        """The number of the first packet found; the source stands at it."""
        at, ahead = 0, 3 * reach(self.header)
        while self.work < _BUDGET:
            available = self.source.fill(at + ahead)
            if at >= available:
                return None
            number = self._chain(at, available < at + ahead)
            if number is not None:
                self.source.drop(at)
                return number
            at = self._next(at + 1)
            if at >= _STEP:
                self.skipped += at
                self.source.drop(at)
                at = 0
        return None

    def _next(self, at: int) -> int:
        data = self.source.data
        if data[at : at + _ZEROS] != bytes(_ZEROS):
            return at
        found = _NOT_ZERO.search(data, at)
        return (found.start() if found else len(data)) - _ZEROS + 1

    def _chain(self, at: int, ended: bool) -> int | None:
        """The number of the packet at `at` if enough good ones follow it."""
        first, links, needed = None, 0, 3
        while links < needed:
            link = self._link(at)
            if link is None:
                return None
            packet, number = link
            if first is None:
                first = number
                needed = self._needed(number, at)
            elif number != (first + links) & 0xFFFF:
                return None
            links, at = links + 1, at + packet.whole
            if packet.last:
                if not self._ends(at, ended):
                    return None
                break
        return self._unfold(first) if first is not None and links and needed else None

    def _ends(self, at: int, ended: bool) -> bool:
        data = self.source.data
        return ended if at == len(data) else data[at] & 7 == TABLE

    def _link(self, at: int) -> tuple[Packet, int] | None:
        data = self.source.data
        try:
            packet = parse_tag(data, at, self.header, 1 if self.expected is None else self.expected + 1)
        except DamagedError:
            return None
        self.work += packet.whole
        number = number_at(data, at, packet, self.header)
        return None if number is None else (packet, number)

    def _needed(self, number: int, at: int) -> int:
        """How many packets must agree: fewer where the bytes skipped account for the packets missing; 0 for never."""
        if self.expected is None:
            return 3
        missing = (number - self.expected) & 0xFFFF
        if 1 <= missing <= (self.skipped + at) // FRAMING + 1:
            return 2
        return 3 if 1 <= missing <= _FAR else 0

    def _unfold(self, number: int) -> int:
        expected = self.expected
        return number if expected is None else expected + ((number - expected) & 0xFFFF)
