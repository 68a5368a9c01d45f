"""One packet after another out of a `.nac` stream, with a report of everything that is not as it was written."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..codes import Codes
from ..errors import DamagedError
from . import priors
from .header import MAGIC, Header
from .index import MAX_TABLE, Index, table_size
from .packets import COPY, MAX_LENGTH, MAX_TAG, Packet, begin, check_number, parse_tag, unpack, usual_frames
from .recover import Finder, reach, repair_last
from .source import Source
from .varint import Cursor

MOST_DAMAGE = 1000  # places that are told one by one: a file of 4 bytes a packet must not fill the memory with words
_NO_LAST = "the file ends before its last packet; what is there was read"
_MORE = "so much is damaged from here on that it is not listed"


@dataclass(frozen=True)
class Damage:
    """Something in a file that is not as it was written."""

    packet: int  # number of the packet, the first of `packets`
    start: float  # seconds
    seconds: float  # of audio lost, 0 when nothing was
    reason: str
    packets: int = 1  # damaged alike, in a row


class Sequence:
    """The packets of `source`, which stands at packet `number`."""

    def __init__(self, source: Source, header: Header, index: Index | None, number: int) -> None:
        self.source, self.header, self.index, self.number = source, header, index, number
        self.length = index.length if index else None  # samples in the file, None as long as it is not known
        self.damage: list[Damage] = []
        self.finder = Finder(source, header)
        self._gap = 0  # packets lost before the one that is next in `source`
        self._table_due = False  # only raw packets end without a seek table
        self._over = False
        self._tables: tuple[priors.Counts, ...] | None = None

    def go(self, number: int, offset: int) -> None:
        """Move to packet `number`, which begins at `offset` of a seekable source."""
        self.source.jump(offset)
        self.finder = Finder(self.source, self.header)  # what the last one searched counts no more
        self.number, self._gap, self._over = number, 0, False

    def next(self) -> Codes | None:
        """The codes of the next packet, None after the last."""
        if self._gap:
            self._gap -= 1
            return self._lost(self.header.packet_frames, "damaged or missing")
        if self._over:
            return None
        self._skip_copies()
        packet = self._packet()
        if packet is None:
            return self._recover()
        self._table_due |= packet.coded and not packet.last
        payload = bytes(self.source.data[packet.head : packet.head + packet.size])
        self.source.drop(packet.whole)
        piece = self._decode(packet, payload)
        if packet.last:
            self._end()
        return piece

    def _packet(self) -> Packet | None:
        """The packet at the source's place if it is whole; asks a pipe for no more bytes than it needs."""
        source, packet = self.source, None
        for count in range(1, MAX_TAG + 1):
            if source.fill(count) < count:
                return None
            try:
                packet = parse_tag(source.data, 0, self.header, self.number)
            except DamagedError:
                continue
            break
        if packet is None or source.fill(packet.whole) < packet.whole:
            return None
        return packet if check_number(source.data, 0, packet, self.header, self.number) else None

    def _skip_copies(self) -> None:
        copy = bytes([COPY]) + self.header.packed
        while self.source.fill(1) and self.source.data[0] == COPY:
            self.source.fill(len(copy))
            if not self.source.data.startswith(copy):
                return
            self.source.drop(len(copy))
            self._table_due = True

    def _decode(self, packet: Packet, payload: bytes) -> Codes:
        if packet.lost:
            return self._lost(packet.frames, "lost before the file was written", packet.total)
        if self._tables is None and packet.coded:
            self._tables = priors.tables(self.header.info, self.header.prior)
        try:
            levels, scale = unpack(payload, packet, self.header, self._tables or ())
        except DamagedError as error:
            return self._lost(packet.frames, str(error), packet.total if packet.last else None)
        length, start = self._take_length(packet.total), self.number * self.header.packet_frames
        self.number += 1
        return Codes(levels, length, self.header.info, start, scale)

    def _take_length(self, total: int | None) -> int:
        """Samples that packet `number` brings out; `total` is the whole file's if this is the last."""
        first, after = begin(self.header, self.number), begin(self.header, self.number + 1)
        if total is not None:
            self.length = after = total
        elif self.length is not None:
            after = min(after, self.length)
        elif self.header.info.overlap and not self._gap:
            after = min(after, max(first, self._announced()))
        return max(0, after - first)

    def _announced(self) -> int:
        """Samples in the file if the next packet is the last: of overlapping segments it may end the one before it."""
        self._skip_copies()
        for count in range(1, MAX_TAG + 1):
            if self.source.fill(count) < count:
                break
            try:
                return parse_tag(self.source.data, 0, self.header, self.number + 1).total or MAX_LENGTH
            except DamagedError:
                continue
        return MAX_LENGTH

    def _lost(self, frames: int, reason: str, total: int | None = None) -> Codes:
        header, info = self.header, self.header.info
        length, start = self._take_length(total), self.number * header.packet_frames
        at = begin(header, self.number) / info.sample_rate
        self._report(length / info.sample_rate, reason, at)
        self.number += 1
        return Codes(
            levels=tuple(np.zeros((1, frames // stride), np.int64) for stride in info.strides[: header.levels]),
            length=length,
            info=info,
            start=start,
            scale=np.zeros((1, header.scales(frames)), np.float32) if info.segment else None,
            lost=np.ones(frames, np.bool_),
        )

    def _report(self, seconds: float, reason: str, at: float | None = None) -> None:
        number, told = self.number, self.damage
        if any(0 <= number - place.packet < place.packets and place.reason in (reason, _MORE) for place in told):
            return  # heard before, and sought back to
        last = told[-1] if told else None
        if last is not None and seconds and last.reason == reason and number == last.packet + last.packets:
            told[-1] = replace(last, seconds=last.seconds + seconds, packets=last.packets + 1)
        elif last is None or len(told) < MOST_DAMAGE:
            start = begin(self.header, number) / self.header.info.sample_rate if at is None else at
            told.append(Damage(number, start, seconds, reason))
        else:
            packets = max(last.packets, number - last.packet + 1)
            told[-1] = replace(last, seconds=last.seconds + seconds, reason=_MORE, packets=packets)

    def _recover(self) -> Codes | None:
        """What to give out where no whole packet stands."""
        if self.index is not None:
            return self._recover_by_index(self.index)
        available = self.source.fill(2 * reach(self.header))
        ended = available < 2 * reach(self.header)
        if not available:
            self._stop(_NO_LAST)
            return None
        if ended and self._repair(available):
            return self.next()
        last = self._last_damaged(available) if ended else None
        if last is not None:
            self._over = True
            return self._lost(last.frames, "the last packet is damaged", last.total)
        number = self.finder.find(self.number)
        if number is None:
            self._stop("the rest of the file is damaged or missing")
            return None
        self._gap = number - self.number
        return self.next()

    def _repair(self, size: int) -> bool:
        """Try whether the next `size` bytes are the last packet but for a bit; if so they are now, and it is told."""
        data = self.source.data[:size]
        if repair_last(data, self.header, self.number) is None:
            return False
        self.source.data[:size] = data
        self._report(0.0, "one bit of the last packet was wrong; it was repaired")
        return True

    def _recover_by_index(self, index: Index) -> Codes | None:
        header = self.header
        if self.number < index.count:
            piece = self._lost(header.packet_frames, "damaged")
            self.source.jump(index.offset(self.number))
            return piece
        if self.number == index.count and self._repair(min(index.last, self.source.fill(index.last))):
            return self.next()
        self._over = True
        if self.number > index.count:
            return None
        frames = usual_frames(header, index.length) - self.number * header.packet_frames
        return self._lost(max(0, min(frames, header.packet_frames)), "the last packet is damaged", index.length)

    def _last_damaged(self, available: int) -> Packet | None:
        """The last packet if its tag still makes sense and the file ends just where it says."""
        try:
            packet = parse_tag(self.source.data, 0, self.header, self.number)
        except DamagedError:
            return None
        return packet if packet.last and packet.whole == available else None

    def _stop(self, reason: str) -> None:
        self._over = True
        self._report(0.0, reason)
        if self.length is None:
            self.length = begin(self.header, self.number)

    def _end(self) -> None:
        """Read what follows the last packet: nothing, or a seek table."""
        self._over = True
        source = self.source
        if self.index is not None or not (self._table_due or source.seekable):
            return
        source.fill(4)
        try:
            size = Cursor(source.data).varint(8 * MAX_TABLE + 7) // 8
        except DamagedError:
            size = 0
        available = source.fill(min(size, MAX_TABLE) + 10)
        whole = table_size(source.data, 0, self.header)
        if source.data.startswith(MAGIC) or (whole is not None and whole < available):
            self._report(0.0, "the file goes on after its end; what follows is not read")
        elif whole is None and (self._table_due or available):
            self._report(0.0, "the seek table is damaged or missing; nothing is lost, but seeking is slower")
