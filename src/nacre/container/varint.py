"""Integers of as few bytes as they need, and a cursor that reads them without running over the end."""

from __future__ import annotations

from ..errors import DamagedError

MAX_BYTES = 8  # of one varint: 56 bits


def varint(value: int) -> bytes:
    """`value` as bytes of seven bits each, lowest first; the high bit says that another byte follows."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Cursor:
    """Reads fields from `data` one after another; what is missing or out of bounds is a DamagedError."""

    def __init__(self, data: bytes | bytearray | memoryview, at: int = 0) -> None:
        self.data, self.at = data, at

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise DamagedError(f"expected {count} more bytes, got {self.left}")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def byte(self) -> int:
        """The next byte as a number."""
        return self.take(1)[0]

    def varint(self, most: int) -> int:
        """The next varint, at most `most`."""
        value = 0
        for i in range(MAX_BYTES):
            byte = self.byte()
            value |= (byte & 127) << 7 * i
            if byte < 128:
                if value > most or (byte == 0 and i):
                    raise DamagedError(f"expected a number of at most {most} in its shortest form, got {value}")
                return value
        raise DamagedError(f"a number runs over its {MAX_BYTES} bytes")

    def text(self, count: int) -> str:
        """The next `count` bytes as UTF-8."""
        try:
            return self.take(count).decode()
        except UnicodeDecodeError as error:
            raise DamagedError("expected UTF-8 text") from error
