"""How fast our codecs are beside the originals: the same random weights, the same sound, the same run, as ratios.

    python benchmarks/speed.py                        # every pair, one and two threads
    python benchmarks/speed.py --quick                # 2 s of sound, one thread
    python benchmarks/speed.py --only encodec-24k dac-44k --tables rtf memory

A ratio is the time of the original over ours: above 1 ours is faster. Rounds take turns, so that what else the machine
does hits both, and the fastest round counts. On a machine that is busy, `--clock cpu` counts the time that the process
ran instead of the time on the wall (one thread only). Originals that are not installed are named and left out
(`pip install --no-deps -r requirements-parity.txt`).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nacre.codecs import audiodec, base, dac, encodec, hac, hilcodec, mimi, pearl, snac, vocos
from nacre.contract import CodecContract, Wave
from nacre.converters.from_dac import load_dac, package_kwargs, save_dac
from nacre.converters.from_encodec import from_encodec
from nacre.converters.from_mimi import from_mimi
from nacre.converters.from_snac import load_snac, save_snac
from nacre.converters.from_vocos import to_vocos
from nacre.converters.to_folder import save_folder
from nacre.converters.to_onnx import export
from nacre.onnx_runtime import OnnxCodec

Work = Callable[[], object]
WARM_UP = 10  # frames of a stream that are not counted
FRAMES = 120  # that are
LONG = ("encodec-24k", "dac-44k", "snac-44k")  # whose memory is measured
OURS = {
    "encodec-24k": (encodec.EnCodec, encodec.PRESETS),
    "dac-44k": (dac.DAC, dac.PRESETS),
    "snac-24k": (snac.SNAC, snac.PRESETS),
    "snac-44k": (snac.SNAC, snac.PRESETS),
    "mimi-24k": (mimi.Mimi, mimi.PRESETS),
    "pearl-24k": (pearl.Pearl, pearl.PRESETS),
    "hilcodec-speech": (hilcodec.HILCodec, hilcodec.PRESETS),
    "audiodec-48k-sym": (audiodec.AudioDec, audiodec.PRESETS),
    "audiodec-48k-v2": (audiodec.AudioDec, audiodec.PRESETS),
    "hac-150": (hac.HAC, hac.PRESETS),
}
ONNX = ("pearl-24k", "hilcodec-speech", "audiodec-48k-sym", "audiodec-48k-v2", "hac-150")


@dataclass(frozen=True)
class Side:
    """One implementation's two directions on one sound; None where it has only one."""

    encode: Work | None
    decode: Work


@dataclass(frozen=True)
class Pair:
    """Ours and an original with the same weights."""

    seconds: float  # of sound
    ours: Side
    theirs: Side


def sound(rate: int, seconds: float) -> Wave:
    """Noise that comes and goes four times a second, `[1, 1, T]`."""
    count = int(rate * seconds)
    noise = np.random.default_rng(0).normal(0, 0.1, count) * np.sin(np.arange(count) * (4 * np.pi / rate)) ** 2
    return noise.astype(np.float32)[None, None]


def fresh(name: str) -> Any:
    """Our codec of that name with random weights, folded for use."""
    torch.manual_seed(0)
    kind, presets = OURS[name]
    return kind(presets[name], name).eval().fold()


def side(codec: CodecContract, wave: Wave) -> Side:
    """Ours on `wave`."""
    codes = codec.encode(wave)
    return Side(lambda: codec.encode(wave), lambda: codec.decode(codes))


def quiet(work: Callable[..., Any], *arguments: Any) -> Any:
    """The work without gradients, as users run an original."""
    with torch.inference_mode():
        return work(*arguments)


def encodec_pair(name: str, seconds: float) -> Pair:
    """The package `encodec`."""
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.set_target_bandwidth(24.0)
    for layer in model.quantizer.vq.layers:
        layer._codebook.embed.normal_(0, 0.3)
        layer._codebook.inited.fill_(1)
    wave = sound(24_000, seconds)
    given = torch.from_numpy(wave)
    frames = quiet(model.encode, given)
    theirs = Side(lambda: quiet(model.encode, given), lambda: quiet(model.decode, frames))
    return Pair(seconds, side(from_encodec(model.state_dict()), wave), theirs)


def dac_pair(name: str, seconds: float) -> Pair:
    """The package `descript-audio-codec`."""
    from dac import DAC

    ours = fresh(name)
    model = DAC(**package_kwargs(ours)).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.pth")
        torch.save({"state_dict": model.state_dict(), "metadata": {"kwargs": package_kwargs(ours)}}, path)
        ours = load_dac(path)
    wave = sound(ours.info.sample_rate, seconds)
    given = model.preprocess(torch.from_numpy(wave), ours.info.sample_rate)
    z = quiet(model.encode, given)[0]
    theirs = Side(lambda: quiet(model.encode, given), lambda: quiet(model.decode, z))
    return Pair(seconds, side(ours, wave), theirs)


def snac_pair(name: str, seconds: float) -> Pair:
    """The package `snac`."""
    from snac import SNAC

    with tempfile.TemporaryDirectory() as folder:
        save_snac(fresh(name), folder)
        model = SNAC.from_config(str(Path(folder, "config.json"))).eval()
        torch.save(model.state_dict(), Path(folder, "pytorch_model.bin"))
        ours = load_snac(folder)
    wave = sound(ours.info.sample_rate, seconds)
    given = torch.from_numpy(wave)
    codes = quiet(model.encode, given)
    theirs = Side(lambda: quiet(model.encode, given), lambda: quiet(model.decode, codes))
    return Pair(seconds, side(ours, wave), theirs)


def mimi_pair(name: str, seconds: float) -> Pair:
    """`transformers.MimiModel`."""
    from transformers import MimiConfig, MimiModel

    model = MimiModel(MimiConfig()).eval()
    ours = from_mimi(model.state_dict())
    wave = sound(24_000, seconds)
    given = torch.from_numpy(wave)
    codes = quiet(model.encode, given).audio_codes
    theirs = Side(lambda: quiet(model.encode, given), lambda: quiet(model.decode, codes))
    return Pair(seconds, side(ours, wave), theirs)


def transformers_encodec_pair(name: str, seconds: float) -> Pair:
    """`transformers.EncodecModel`."""
    from transformers import EncodecConfig, EncodecModel

    model = EncodecModel(EncodecConfig()).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_(0, 0.3)
        layer.codebook.cluster_size.fill_(1)
    wave = sound(24_000, seconds)
    given = torch.from_numpy(wave)

    def encode() -> Any:
        return quiet(lambda: model.encode(given, bandwidth=24.0))

    said = encode()
    theirs = Side(encode, lambda: quiet(model.decode, said.audio_codes, said.audio_scales))
    return Pair(seconds, side(from_encodec(model.state_dict()), wave), theirs)


def transformers_dac_pair(name: str, seconds: float) -> Pair:
    """`transformers.DacModel`."""
    from transformers import DacModel

    with tempfile.TemporaryDirectory() as folder:
        save_dac(fresh(name), folder)
        model, ours = DacModel.from_pretrained(folder).eval(), load_dac(folder)
    wave = sound(ours.info.sample_rate, seconds)
    given = torch.from_numpy(wave[:, :, : wave.shape[2] // ours.info.hop * ours.info.hop])
    codes = quiet(model.encode, given).audio_codes
    theirs = Side(lambda: quiet(model.encode, given), lambda: quiet(lambda: model.decode(audio_codes=codes)))
    return Pair(seconds, side(ours, given.numpy()), theirs)


def vocos_pair(name: str, seconds: float) -> Pair:
    """The package `vocos`, from mel bands to sound."""
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    ours = vocos.MelVocos().eval()
    sizes = ours.config.vocoder
    backbone = VocosBackbone(sizes.features, sizes.dim, sizes.hidden, sizes.layers)
    parts = torch.nn.ModuleDict({"backbone": backbone, "head": ISTFTHead(sizes.dim, sizes.n_fft, sizes.hop, "center")})
    weights = to_vocos(ours)
    parts.eval().load_state_dict({k: v for k, v in weights.items() if not k.startswith("feature_extractor.")})
    bands = torch.randn(1, sizes.features, int(seconds * 24_000) // sizes.hop)
    theirs = Side(None, lambda: quiet(lambda: parts["head"](parts["backbone"](bands))))
    return Pair(seconds, Side(None, lambda: quiet(ours.vocoder, bands)), theirs)


PAIRS: dict[str, tuple[str, str, Callable[[str, float], Pair]]] = {  # package, our name, maker
    "encodec-24k": ("encodec", "encodec-24k", encodec_pair),
    "dac-44k": ("descript-audio-codec", "dac-44k", dac_pair),
    "snac-24k": ("snac", "snac-24k", snac_pair),
    "snac-44k": ("snac", "snac-44k", snac_pair),
    "encodec-24k-hf": ("transformers", "encodec-24k", transformers_encodec_pair),
    "dac-44k-hf": ("transformers", "dac-44k", transformers_dac_pair),
    "mimi-24k": ("transformers", "mimi-24k", mimi_pair),
    "vocos-mel-24k": ("vocos", "vocos-mel-24k", vocos_pair),
}


clock = time.perf_counter


def take_turns(works: Sequence[Work], rounds: int) -> list[float]:
    """The least seconds of each; every round runs all."""
    for work in works:
        work()
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for i, work in enumerate(works):
            begin = clock()
            work()
            best[i] = min(best[i], clock() - begin)
    return best


def rtf_rows(names: Sequence[str], seconds: float, rounds: int, threads: Sequence[int]) -> Iterator[list[str]]:
    """Seconds of sound a second, ours and theirs, and the ratio."""
    yield ["whole files", "package", "threads", "direction", "ours ×", "theirs ×", "ratio"]
    for name in names:
        package, ours, make = PAIRS[name]
        try:
            pair = make(ours, seconds)
        except ImportError as missing:
            print(f"{name} left out: {package} is not installed ({missing})", file=sys.stderr)
            continue
        for count in threads:
            torch.set_num_threads(count)
            for word in ("encode", "decode"):
                works = [getattr(pair.ours, word), getattr(pair.theirs, word)]
                if None not in works:
                    mine, other = take_turns(works, rounds)
                    figures = [f"{pair.seconds / mine:.2f}", f"{pair.seconds / other:.2f}", f"{other / mine:.2f}"]
                    yield [name, package, str(count), word, *figures]


def stream_times(codec: CodecContract, frames: int = FRAMES) -> tuple[list[float], list[float]]:
    """Milliseconds to encode and to decode each frame of a stream, the first ones left out."""
    info = codec.info
    step = info.hop * info.stride
    wave = sound(info.sample_rate, (frames + WARM_UP) * step / info.sample_rate + 1)
    stream, took = codec.stream(), []
    for i in range(frames + WARM_UP):
        begin = clock()
        codes = stream.encode(wave[:, :, i * step : (i + 1) * step])
        middle = clock()
        stream.decode(codes)
        took.append((1e3 * (middle - begin), 1e3 * (clock() - middle)))
    return [a for a, _ in took[WARM_UP:]], [b for _, b in took[WARM_UP:]]


def with_onnx(name: str, codec: base.Codec) -> Iterator[tuple[str, CodecContract]]:
    """The codec in torch and, where it can be exported, in ONNX."""
    yield "torch", codec
    if name in ONNX:
        with tempfile.TemporaryDirectory() as folder, suppress(ImportError):
            export(codec, folder)
            yield "onnx", OnnxCodec(folder)


def stream_rows(names: Sequence[str], frames: int, threads: Sequence[int]) -> Iterator[list[str]]:
    """Milliseconds a frame, one frame at a time."""
    yield ["stream, ms a frame", "with", "threads", "frame", "enc p50", "enc p95", "dec p50", "dec p95", "both p50"]
    for name in names:
        codec = fresh(name)
        for runtime, running in with_onnx(name, codec):
            for count in threads if runtime == "torch" else threads[:1]:
                torch.set_num_threads(count)
                encode, decode = stream_times(running, frames)
                points = [np.percentile(side, p) for side in (encode, decode) for p in (50, 95)]
                both = np.median(np.add(encode, decode))
                length = 1e3 * codec.info.hop * codec.info.stride / codec.info.sample_rate
                yield [name, runtime, str(count), f"{length:.2f}", *(f"{x:.1f}" for x in [*points, both])]


def alone(*arguments: str) -> dict[str, float]:
    """What this file finds out in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--alone", *arguments], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory_rows(names: Sequence[str], minutes: Sequence[float]) -> Iterator[list[str]]:
    """Peak MB of encoding and decoding files of several lengths, the sound itself included."""
    yield ["peak memory, MB", *(f"{m:g} min" for m in minutes), "longest less its sound", "ratio"]
    for name in names:
        found = [alone("memory", name, str(m)) for m in minutes]
        rest = [f["peak"] - f["sound"] for f in found]
        yield [name, *(f"{f['peak']:.0f}" for f in found), f"{rest[-1]:.0f}", f"{rest[-1] / rest[0]:.2f}"]


def start_rows(names: Sequence[str]) -> Iterator[list[str]]:
    """Seconds of a new process: imports, the codec from its folder, and the first frame."""
    yield ["cold start, s", "import", "load", "first frame", "all"]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            save_folder(fresh(name), folder, overwrite=True)
            found = min((alone("start", folder) for _ in range(2)), key=lambda f: sum(f.values()))
        yield [name, *(f"{found[k]:.2f}" for k in ("import", "load", "first")), f"{sum(found.values()):.2f}"]


def memory_alone(name: str, minutes: float) -> dict[str, float]:
    """Peak MB of this process after a stream of ten-second chunks, as `nacre encode` reads them, both ways."""
    codec = fresh(name)
    wave = sound(codec.info.sample_rate, 60 * minutes)
    codes = codec.encode(wave)
    codec.decode(codes)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak": kilobytes / 1e3, "sound": 2 * wave.nbytes / 1e6}


def start_alone(folder: str) -> dict[str, float]:
    """Seconds of each step to the first frame."""
    begin = time.perf_counter()
    from nacre.converters.from_safetensors import load_folder

    opened = time.perf_counter()
    codec = load_folder(folder)
    loaded = time.perf_counter()
    step = codec.info.hop * codec.info.stride
    codec.decode(codec.encode(sound(codec.info.sample_rate, step / codec.info.sample_rate)))
    return {"import": STARTED + opened - begin, "load": loaded - opened, "first": time.perf_counter() - loaded}


STARTED = time.process_time()  # seconds of this process until here, nearly all of them imports


def show(rows: Iterator[list[str]]) -> None:
    """Print rows as they come; the head says how wide the columns are."""
    widths: list[int] = []
    for row in rows:
        if not widths:
            print()
            widths = [22, *(max(len(cell) + 2, 10) for cell in row[1:])]
        print(
            row[0].ljust(widths[0]) + "".join(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)), flush=True
        )


def packages_without_torchaudio() -> None:
    """Let encodec, dac and vocos load where torchaudio is not installed; nothing here needs it."""
    with suppress(ImportError):
        import torchaudio  # noqa: F401

        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "golden"))
    from legacy.make import stand_in_for_torchaudio

    stand_in_for_torchaudio()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2 s of sound, one thread, no 10 minutes")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these codecs")
    parser.add_argument("--tables", nargs="+", default=["rtf", "stream", "memory", "start"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=5, help="of sound in the first table (5)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="what counts as time")
    parser.add_argument("--alone", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        torch.set_num_threads(1)
        task, *rest = chosen.alone
        print(json.dumps(memory_alone(rest[0], float(rest[1])) if task == "memory" else start_alone(rest[0])))
        return
    if chosen.quick:
        chosen.seconds, chosen.rounds, chosen.threads, chosen.minutes = 2.0, 2, [1], [0.25, 0.5]

    if chosen.clock == "cpu":
        global clock
        clock, chosen.threads = time.process_time, [1]

    def wanted(names: Sequence[str]) -> list[str]:
        return [name for name in names if not chosen.only or name in chosen.only]

    packages_without_torchaudio()
    tables = {
        "rtf": lambda: rtf_rows(wanted(list(PAIRS)), chosen.seconds, chosen.rounds, chosen.threads),
        "stream": lambda: stream_rows(wanted(list(OURS)), FRAMES // (4 if chosen.quick else 1), chosen.threads),
        "memory": lambda: memory_rows(wanted(LONG), chosen.minutes),
        "start": lambda: start_rows(wanted(list(OURS))),
    }
    for name in chosen.tables:
        show(tables[name]())


if __name__ == "__main__":
    main()
