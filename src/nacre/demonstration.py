"""`nacre demo`: the bundled sentence coded at every rate and back, as files to hear and a picture to look at."""

from __future__ import annotations

import time
from pathlib import Path

from . import audio, models, spectrogram
from .files import DecodeOptions, EncodeOptions, decode_file, encode_file

RATES = (1350, 2700, 6075)  # bits a second
Row = tuple[str, str, str, str, str, str]


def run(folder: str | Path) -> list[Row]:
    """Write original, coded and decoded files and `spectrogram.png` into `folder`; the table of sizes and speeds."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    codec = models.load()
    original = audio.read(models.SAMPLE)
    audio.write(folder / "original.wav", original.samples, original.sample_rate, overwrite=True)
    pictures = [spectrogram.spectrogram(original.samples[0, 0])]
    wav_bytes = (folder / "original.wav").stat().st_size
    rows: list[Row] = [
        ("file", "bytes", "kbps", "encode", "decode", ""),
        ("original.wav", str(wav_bytes), f"{8 * wav_bytes / original.duration / 1000:.0f}", "", "", ""),
    ]
    for rate in RATES:
        coded, decoded = folder / f"pearl-{rate}.nac", folder / f"pearl-{rate}.wav"
        begin = time.perf_counter()
        made = encode_file(codec, models.SAMPLE, coded, EncodeOptions(codec.info.levels_for(rate), overwrite=True))
        middle = time.perf_counter()
        decode_file(lambda info: codec, coded, decoded, DecodeOptions(overwrite=True))
        end = time.perf_counter()
        pictures.append(spectrogram.spectrogram(audio.read(decoded).samples[0, 0]))
        speeds = [f"{made.seconds / t:.0f} x" for t in (middle - begin, end - middle)]
        share = f"1/{wav_bytes / made.bytes:.0f} of the wav"
        rows.append((coded.name, str(made.bytes), f"{made.bitrate / 1000:.2f}", *speeds, share))
    spectrogram.write_png(folder / "spectrogram.png", spectrogram.stack(pictures))
    rows.append(("spectrogram.png", "", "", "", "", "from the top: original, " + ", ".join(f"{r / 1000:g}" for r in RATES)))
    return rows
