"""How the golden .nac files were made. What exists is never written again: it must decode as it is, for ever.

python tests/golden/make_nac.py makes what is missing: a .nac file and its codes as .npz.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from random_codes import ENCODEC_48K, HAC, ODD, PEARL, SNAC, random_codes  # noqa: E402

from nacre.codes import Codes  # noqa: E402
from nacre.container.nac import write  # noqa: E402


def cases() -> dict[str, tuple[Codes, bool]]:
    """Name, codes, and whether they are packed raw."""
    lost = np.zeros(240, np.bool_)
    lost[80:160] = True
    gap = random_codes(SNAC, 3, 240)
    silent = tuple(np.where(lost[::s], 0, level) for s, level in zip((4, 2, 1), gap.levels, strict=True))
    return {
        "empty": (random_codes(PEARL, 2, 0), False),
        "pearl-raw": (random_codes(PEARL, 3, 120, 12345), True),
        "pearl-coded": (random_codes(PEARL, 4, 200, 60000, calm=25), False),
        "hac-coded": (random_codes(HAC, 1, 200, calm=200), False),
        "snac-gap": (replace(gap, levels=silent, lost=lost), False),
        "encodec-48k": (random_codes(ENCODEC_48K, 2, 340, calm=30), False),
        "odd-length": (random_codes(ODD, 4, 500, 7, calm=50), False),
    }


def main() -> None:
    """Make what is missing."""
    for name, (codes, raw) in cases().items():
        path = HERE / f"{name}.nac"
        if path.exists():
            continue
        write(path, codes, {"title": name, "größe": "über"}, raw)
        levels = {f"level{k}": level.astype(np.uint32) for k, level in enumerate(codes.levels)}
        extra = {key: value for key, value in (("scale", codes.scale), ("lost", codes.lost)) if value is not None}
        info = np.array(repr(asdict(codes.info)))
        np.savez_compressed(path.with_suffix(".npz"), length=codes.length, info=info, **levels, **extra)


if __name__ == "__main__":
    main()
