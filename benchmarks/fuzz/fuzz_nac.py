"""Coverage-guided fuzzing of the .nac reader with atheris (`pip install atheris`, Linux and macOS).

    python benchmarks/fuzz/fuzz_nac.py -max_total_time=600 corpus/

The first byte of an input says how it is read. Checksums are computed anew for half of the inputs, so that the fuzzer
reaches what lies behind them. Anything but a NacreError or codes of the length that the reader states is a finding.
"""

from __future__ import annotations

import sys
import tempfile
from binascii import crc_hqx
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports():
    from nacre.codes import Codes
    from nacre.container.header import LEAD
    from nacre.container.reader import NacReader
    from nacre.errors import NacreError

MOST_PACKETS = 200  # of one input: a hostile header makes a packet of three bytes hold 65536 codes


class Pipe:
    """A stream that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, count: int) -> bytes:
        """The next bytes."""
        part = self.data[self.at : self.at + count]
        self.at += len(part)
        return part


def with_checksum(data: bytes) -> bytes:
    """`data` with a header whose checksum fits."""
    if len(data) < LEAD.size:
        return data
    end = LEAD.size + min(int.from_bytes(data[4:8], "big"), len(data) - LEAD.size)
    data = b"NAC\x01" + (end - LEAD.size).to_bytes(4, "big") + data[8:]
    return data[:end] + crc_hqx(data[:end], 0xFFFF).to_bytes(2, "big") + data[end:]


def read_all(data: bytes, how: int) -> None:
    """Read `data` as a file, a pipe, or by seeking."""
    with NacReader(Pipe(data) if how & 1 else data) as reader:  # type: ignore[arg-type]
        if how & 2 and not how & 1:
            reader.seek((how >> 2) / 4)
        samples, stated = 0, reader.length  # known beforehand from a file whose end can be found
        for count, piece in enumerate(reader.packets()):
            if not isinstance(piece, Codes) or piece.length < 0:
                raise RuntimeError("not codes")
            samples += piece.length
            if count > MOST_PACKETS:
                return
        if not how & 3 and stated is not None and samples != stated:
            raise RuntimeError(f"{samples} samples given, {stated} stated")


def one_input(data: bytes) -> None:
    """What the fuzzer calls."""
    if not data:
        return
    how, body = data[0], data[1:]
    with suppress(NacreError):
        read_all(with_checksum(body) if how & 128 else body, how & 127)


def main() -> None:
    """Fuzz, with the golden files and the attacks as a beginning."""
    seeds, tests = Path(tempfile.mkdtemp()), Path(__file__).parents[2] / "tests"
    for path in [*tests.glob("golden/*.nac"), *tests.glob("attacks/nac/*.nac")]:
        for how in (0, 1, 130):
            (seeds / f"{path.stem}-{how}").write_bytes(bytes([how]) + path.read_bytes()[:8000])
    atheris.Setup([*sys.argv, str(seeds)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
