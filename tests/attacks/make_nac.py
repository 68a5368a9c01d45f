"""How the hostile .nac files were made: `python tests/attacks/make_nac.py` makes them again.

Each promises something that a careless reader would pay for in memory, time or wrong sound. Checksums fit, so that the
lies are reached.
"""

from __future__ import annotations

import sys
from binascii import crc_hqx
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from random_codes import ENCODEC_48K, PEARL, packed, random_codes  # noqa: E402

from nacre.codes import CodecInfo  # noqa: E402
from nacre.container.header import LEAD, Header  # noqa: E402
from nacre.container.index import TableWriter  # noqa: E402
from nacre.container.packets import LAST, last_tag, seal  # noqa: E402
from nacre.container.varint import varint  # noqa: E402

BOMB = Header(CodecInfo("bomb", "", 1 << 20, 1, 1, (2,)), 1)  # the largest packets there are: 65536 codes of one bit
SMALL = Header(CodecInfo("small", "", 100, 1, 10, (16, 3)), 2)
PLAIN = Header(PEARL, 8)


def tabled(header: Header, packets: bytes, table: bytes) -> bytes:
    """A file whose seek table has the body `table`."""
    data = varint(8 * len(table) + 7) + table
    data += crc_hqx(data, header.crc).to_bytes(2, "big")
    return header.packed + packets + data + (len(data) + 4).to_bytes(4, "big")


def cases() -> dict[str, bytes]:
    """Name and bytes."""
    last = seal(last_tag(SMALL, 0, 0, 0, None), b"", SMALL, 0)
    jumps = b"".join(seal(varint(1), b"", BOMB, 4000 * jump + i) for jump in range(1, 16) for i in range(3))
    huge = TableWriter()
    huge._run = 1 << 50
    huge.needed = True
    lead = LEAD.pack(b"NAC", 1, 65535, 1)
    return {
        "magic-only": b"NAC",
        "metadata-4-gigabytes": LEAD.pack(b"NAC", 1, (1 << 32) - 1, 1) + bytes(50),
        "metadata-longer-than-file": lead + b"\xff" * 500,
        "version-255": LEAD.pack(b"NAC", 255, 4, 1) + b"null",
        "lost-packets-bomb": BOMB.packed + b"".join(seal(varint(1), b"", BOMB, i) for i in range(500)),
        "one-byte-of-entropy-code": BOMB.packed + b"".join(seal(varint(9), b"\0", BOMB, i) for i in range(8)),
        "entropy-code-of-no-codes": PLAIN.packed + seal(varint(8 * 20 + 1), b"\xff" * 20, PLAIN, 0) * 3,
        "packet-numbers-that-jump": BOMB.packed + jumps,
        "length-of-eight-years": SMALL.packed + seal(varint(4) + varint(1 << 48), b"", SMALL, 0),
        "length-beyond-all-limits": SMALL.packed + seal(varint(4) + varint(1 << 55), b"", SMALL, 0),
        "more-frames-than-a-packet": SMALL.packed + seal(varint(8 * (1 << 40) + 4) + b"\0", b"", SMALL, 0),
        "payload-beyond-the-file": SMALL.packed + seal(varint(8 * 9 + 5) + b"\0" + varint(60000), b"", SMALL, 0),
        "number-without-end": SMALL.packed + b"\xff" * 400,
        "two-last-packets": SMALL.packed + last + last,
        "header-copies-only": SMALL.packed + (b"\x06" + SMALL.packed) * 2000,
        "table-of-a-billion-packets": SMALL.packed + last + huge.packed(SMALL, 5, len(last)),
        "table-that-lies": tabled(SMALL, last, varint(1 << 47) + varint(len(last)) + varint(0) + varint(3)),
        "table-longer-than-file": SMALL.packed + last + b"\xff\xff\xff\xff",
        "table-of-copies": tabled(SMALL, last, varint(9) + varint(len(last)) + b"\1" * 5000),
        "scale-not-a-number": _not_a_number(),
        "code-beyond-the-codebook": SMALL.packed + seal(varint(8 * 10 + LAST), b"\xff", SMALL, 0),
        "zeros": SMALL.packed + bytes(200_000),
        "looks-like-packets": PLAIN.packed + b"\0\0\1" * 8_000,
    }


def _not_a_number() -> bytes:
    data = packed(random_codes(ENCODEC_48K, 2, 150), raw=True)
    header = Header(ENCODEC_48K, 2)
    at = len(header.packed) + 3
    return header.packed + seal(data[at - 3 : at], b"\0\0\xc0\x7f" + data[at + 4 : -2], header, 0)


if __name__ == "__main__":
    for name, data in cases().items():
        (HERE / "nac" / f"{name}.nac").write_bytes(data)
