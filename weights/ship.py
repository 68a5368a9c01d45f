"""From a finished run to what the package carries: weights, graphs, and the entropy coder's table.

    python weights/ship.py runs/pearl --data ../shared/corpus/speech-open-00.tar

Writes `weights/NAME/` as `nacre train --weights` does, copies model and graphs to `src/nacre/bundled/NAME/`, and
counts the codes of about half an hour of `--data` into the next `prior-N.npz`. Tables of the weights that were there
before go: what needs them needs those weights too. Run it in a checkout installed with `pip install -e '.[train]'`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from nacre import OnnxCodec
from nacre.codes import CodecInfo, Codes
from nacre.container import priors
from nacre.models import BUNDLED
from nacre.onnx_runtime import DECODER, ENCODER, WEIGHTS
from nacre.training.crops import CropSpec
from nacre.training.data import open_corpus
from nacre.training.weights import finish

HERE = Path(__file__).parent
CROPS, SECONDS = 180, 10  # that the table is counted on


def count(codec: OnnxCodec, data: list[str], exclude: list[str]) -> Iterator[Codes]:
    """What the codec says of crops of `data`."""
    info = codec.info
    corpus = open_corpus(data, info.sample_rate, info.channels, exclude=exclude)
    crops = corpus.streaming(CropSpec(SECONDS * info.sample_rate, 1, 0))
    for i in range(CROPS):
        yield codec.encode(crops.batch(i).numpy())


def bundle(folder: Path, info: CodecInfo) -> Path:
    """Model and graphs into the package."""
    place = BUNDLED / info.name
    place.mkdir(exist_ok=True)
    for name in (WEIGHTS, ENCODER, DECODER):
        shutil.copyfile(folder / name, place / name)
    for name in (ENCODER, DECODER):  # small, made from the model, and in the package: once is enough
        (folder / name).unlink()
    return place


def main() -> None:
    """Export, copy, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--data", action="append", required=True, help="sound that codes are counted on; repeatable")
    parser.add_argument("--exclude", action="append", default=[], help="clips or speakers to leave out; repeatable")
    parser.add_argument("--best", action="store_true", help="the best checkpoint, not the last")
    parser.add_argument("--set", action="append", default=[], help="recipe keys to export by, as weight_bits=8")
    asked = parser.parse_args()
    staged = HERE / ".staged"
    info = finish(asked.run, staged, asked.best, asked.set)
    folder = HERE / info.name
    folder.mkdir(exist_ok=True)
    for path in staged.iterdir():
        path.replace(folder / path.name)
    staged.rmdir()
    place = bundle(folder, info)
    numbers = {int(path.stem[6:]): path for path in BUNDLED.glob("prior-*.npz")}
    table = priors.save(
        max(numbers, default=0) + 1, info, priors.build(count(OnnxCodec(place), asked.data, asked.exclude))
    )
    for number, path in numbers.items():
        if priors.owner(number)[0] == info.name:
            path.unlink()
    size = sum(path.stat().st_size for path in (*place.iterdir(), table))
    print(f"{info.name} ({info.digest}): {folder}, {place}, {table.name}; {size / 1e6:.2f} MB in the package")


if __name__ == "__main__":
    main()
