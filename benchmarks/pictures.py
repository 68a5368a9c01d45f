"""Spectrograms of clips before and after pearl, for looking at: one picture a clip.

python benchmarks/pictures.py docs/pictures                  # five clips of ../shared/dev-set/speech
python benchmarks/pictures.py OUT clip.wav another.flac

From the top: the original, then 1.35, 2.7 and 6.08 kbps; four seconds, 0 to 12 kHz.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nacre import load, read, spectrogram

CLIPS = Path(__file__).resolve().parent.parent.parent / "shared" / "dev-set" / "speech"
FIVE = (
    "lj-coqui__LJ__0011",
    "vctk-hifigan__vctk-ms2__0000",
    "libritts-bigvgan__ltother2__0000",
    "gcompris__fi-Niko-Lewman__0044",
    "asp__Elizabeth-Namazzi__0002",
)
LEVELS = (2, 4, 9)
SECONDS, WIDTH, HEIGHT = 4, 560, 120


def main() -> None:
    """Draw and say where."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER [CLIP ...]")
    clips = [Path(name) for name in sys.argv[2:]] or [CLIPS / f"{name}.flac" for name in FIVE]
    folder, codec = Path(sys.argv[1]), load()
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        wave = read(clip, codec.info.sample_rate, 1).samples[:, :, : SECONDS * codec.info.sample_rate]
        codes = codec.encode(wave)
        waves = {"original": wave} | {
            f"{codec.info.bitrate(k) / 1000:.2f} kbps": codec.decode(codes.head(k)) for k in LEVELS
        }
        pictures = [
            spectrogram.caption(spectrogram.spectrogram(each[0, 0], WIDTH, HEIGHT), name)
            for name, each in waves.items()
        ]
        spectrogram.write_png(folder / f"{clip.stem}.png", spectrogram.stack(pictures))
        print(folder / f"{clip.stem}.png")


if __name__ == "__main__":
    main()
