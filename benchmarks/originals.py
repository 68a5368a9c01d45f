"""The original packages beside ours: one model of each, both with the weights of one random codec that nacre wrote.

Nothing is imported before a model is opened, so a process that opens one holds one package only. `speed.py` opens both
sides in one process to compare their speed, and starts this file for each side to learn its memory or its cold start:

    python benchmarks/originals.py memory FOLDER encodec-24k ours 60       # MB at the peak, 60 s of sound both ways
    python benchmarks/originals.py start FOLDER encodec-24k theirs 0.1     # seconds until 0.1 s of sound is coded
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]  # [1, 1, T]
OURS, THEIRS = "ours", "theirs"  # sides, and the folders of their weights


@dataclass(frozen=True)
class Coder:
    """One model, ready for use."""

    sample_rate: int
    encode: Callable[[Wave], Any]
    decode: Callable[[Any], Any]


@dataclass(frozen=True)
class Original:
    """A package that codes what one of our presets codes."""

    package: str
    preset: str  # ours
    write: str  # the kind of file that `save_as` writes for it
    file: str  # its name, "" for a folder
    module: str  # what a user imports
    open: Callable[[Path], Coder]
    encodes: bool = True


def sound(rate: int, seconds: float) -> Wave:
    """Noise that comes and goes four times a second."""
    wave = np.random.default_rng(0).standard_normal((1, 1, int(rate * seconds)), np.float32)
    wave *= 0.1 * np.abs(np.sin(np.arange(wave.shape[2], dtype=np.float32) % rate * np.float32(4 * np.pi / rate)))
    return wave


def quiet(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work without gradients, as users run an original."""
    import torch

    return torch.inference_mode()(work)


def open_encodec(path: Path) -> Coder:
    """`encodec`, at its highest bitrate."""
    import torch
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_24khz(pretrained=False)
    model.load_state_dict(torch.load(path, weights_only=True))
    model.eval().set_target_bandwidth(24.0)
    return Coder(24_000, quiet(lambda wave: model.encode(torch.from_numpy(wave))), quiet(model.decode))


def open_dac(path: Path) -> Coder:
    """`descript-audio-codec`, the whole sound at once."""
    import torch
    from dac import DAC

    model = DAC.load(str(path)).eval()

    def encode(wave: Wave) -> Any:
        return model.encode(model.preprocess(torch.from_numpy(wave), model.sample_rate))[0]

    return Coder(model.sample_rate, quiet(encode), quiet(model.decode))


def open_snac(path: Path) -> Coder:
    """`snac`."""
    import torch
    from snac import SNAC

    model = SNAC.from_pretrained(str(path))
    return Coder(model.sampling_rate, quiet(lambda wave: model.encode(torch.from_numpy(wave))), quiet(model.decode))


def open_transformers_encodec(path: Path) -> Coder:
    """`transformers.EncodecModel`, at its highest bitrate."""
    import torch
    from transformers import EncodecModel

    model = EncodecModel.from_pretrained(path).eval()
    encode = quiet(lambda wave: model.encode(torch.from_numpy(wave), bandwidth=24.0))
    return Coder(24_000, encode, quiet(lambda said: model.decode(said.audio_codes, said.audio_scales)))


def open_transformers_dac(path: Path) -> Coder:
    """`transformers.DacModel`, of whole frames as it asks for."""
    import torch
    from transformers import DacModel

    model = DacModel.from_pretrained(path).eval()
    hop = model.config.hop_length
    encode = quiet(lambda wave: model.encode(torch.from_numpy(wave[:, :, : wave.shape[2] // hop * hop])))
    rate = model.config.sampling_rate
    return Coder(rate, encode, quiet(lambda said: model.decode(audio_codes=said.audio_codes)))


def open_transformers_mimi(path: Path) -> Coder:
    """`transformers.MimiModel`, in all its levels, which are ours."""
    import torch
    from transformers import MimiModel

    model = MimiModel.from_pretrained(path).eval()
    encode = quiet(lambda wave: model.encode(torch.from_numpy(wave), num_quantizers=model.config.num_quantizers))
    return Coder(24_000, encode, quiet(lambda said: model.decode(said.audio_codes)))


def open_vocos(path: Path) -> Coder:
    """`vocos`, from mel bands to sound."""
    import torch
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    parts = torch.nn.ModuleDict(
        {"backbone": VocosBackbone(100, 512, 1536, 8), "head": ISTFTHead(512, 1024, 256, "center")}
    )
    weights = torch.load(path, weights_only=True)
    parts.eval().load_state_dict({k: v for k, v in weights.items() if not k.startswith("feature_extractor.")})
    return Coder(24_000, bands, quiet(lambda mel: parts["head"](parts["backbone"](mel))))


def bands(wave: Wave) -> Any:
    """Mel bands as many as `wave` has: what they say does not change how long a vocoder takes."""
    import torch

    return torch.randn(1, 100, wave.shape[2] // 256)


def open_ours(path: Path) -> Coder:
    """Ours, of the folder that `save` wrote."""
    if (path / "vocos.pth").exists():
        from nacre.converters.from_vocos import load_vocos

        return Coder(24_000, bands, quiet(load_vocos(path / "vocos.pth", "vocos-mel-24k")))
    from nacre.converters.from_safetensors import load_folder

    codec = load_folder(path)
    return Coder(codec.info.sample_rate, codec.encode, codec.decode)


TRANSFORMERS = "transformers.models.{0}.modeling_{0}"
ORIGINALS = {
    "encodec-24k": Original("encodec", "encodec-24k", "encodec", "weights.pth", "encodec", open_encodec),
    "dac-44k": Original("descript-audio-codec", "dac-44k", "dac", "weights.pth", "dac", open_dac),
    "dac-16k": Original("descript-audio-codec", "dac-16k", "dac", "weights.pth", "dac", open_dac),
    "snac-24k": Original("snac", "snac-24k", "snac", "", "snac", open_snac),
    "snac-44k": Original("snac", "snac-44k", "snac", "", "snac", open_snac),
    "encodec-24k-hf": Original(
        "transformers", "encodec-24k", "hf", "", TRANSFORMERS.format("encodec"), open_transformers_encodec
    ),
    "dac-44k-hf": Original("transformers", "dac-44k", "hf", "", TRANSFORMERS.format("dac"), open_transformers_dac),
    "mimi-24k": Original("transformers", "mimi-24k", "hf", "", TRANSFORMERS.format("mimi"), open_transformers_mimi),
    "vocos-mel-24k": Original("vocos", "vocos-mel-24k", "vocos", "vocos.pth", "vocos", open_vocos, encodes=False),
}


KINDS = {
    "audiodec": "AudioDec",
    "dac": "DAC",
    "encodec": "EnCodec",
    "hac": "HAC",
    "hilcodec": "HILCodec",
    "mimi": "Mimi",
    "pearl": "Pearl",
    "snac": "SNAC",
    "vocos": "MelVocos",
}


def fresh(preset: str) -> Any:
    """Our codec of that name with random weights, folded for use."""
    import torch

    torch.manual_seed(0)
    room = preset.split("-")[0]
    module = import_module(f"nacre.codecs.{room}")
    codec = getattr(module, KINDS[room])
    return codec().eval() if room == "vocos" else codec(module.PRESETS[preset], preset).eval().fold()


def save(name: str, folder: Path) -> None:
    """Write one random codec for both sides into `folder`."""
    import torch

    from nacre.converters.from_vocos import to_vocos
    from nacre.converters.to_files import save_as

    original = ORIGINALS[name]
    codec, theirs = fresh(original.preset), folder / THEIRS
    theirs.mkdir(parents=True)
    if not original.encodes:
        (folder / OURS).mkdir()
        for side in (OURS, THEIRS):
            torch.save(to_vocos(codec), folder / side / original.file)
        return
    save_as(codec, folder / OURS)
    save_as(codec, theirs / original.file, original.write, overwrite=True)


def open_side(name: str, folder: Path, side: str) -> Coder:
    """One side of what `save` wrote."""
    if side == OURS:
        return open_ours(folder / OURS)
    original = ORIGINALS[name]
    return original.open(folder / THEIRS / original.file)


def stand_in_for_torchaudio() -> None:
    """Let encodec, dac and vocos load where torchaudio is not installed; nothing here needs it."""
    with suppress(ImportError):
        import torchaudio  # noqa: F401

        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "golden"))
    stand_in: Callable[[], None] = import_module("legacy.make").stand_in_for_torchaudio
    stand_in()


def peak() -> float:
    """MB that this process has held at most; not `ru_maxrss` where that begins with what the parent held."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """Do one task on one side and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("task", choices=["memory", "start"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", choices=ORIGINALS)
    parser.add_argument("side", choices=[OURS, THEIRS])
    parser.add_argument("seconds", type=float, help="of sound")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--began", type=float, help="time.monotonic() when this was started; without, CPU time counts")
    parser.add_argument("--limit", type=float, default=0, help="MB of memory it may take (no limit)")
    chosen = parser.parse_args(arguments)
    if chosen.limit:
        resource.setrlimit(resource.RLIMIT_DATA, (int(chosen.limit * 1e6),) * 2)

    def clock() -> float:
        return time.process_time() if chosen.began is None else time.monotonic() - chosen.began

    torch = import_module("torch")
    aside = clock()
    if chosen.side == THEIRS and ORIGINALS[chosen.name].package != "transformers":
        stand_in_for_torchaudio()  # is not the package's to pay for
    aside = clock() - aside
    import_module("nacre.converters.from_safetensors" if chosen.side == OURS else ORIGINALS[chosen.name].module)
    imported = clock() - aside
    coder = open_side(chosen.name, chosen.folder, chosen.side)
    torch.set_num_threads(chosen.threads)
    loaded = clock() - aside
    wave = sound(coder.sample_rate, chosen.seconds)
    coder.decode(coder.encode(wave))
    done = clock() - aside
    if chosen.task == "start":
        print(json.dumps({"import": imported, "load": loaded - imported, "first": done - loaded, "all": done}))
    else:
        print(json.dumps({"peak": peak(), "sound": 2 * wave.nbytes / 1e6}))


if __name__ == "__main__":
    main()
