"""load(name): a codec by its name in the catalogue, from a file or a folder, on torch or ONNX Runtime.

What a name needs is downloaded once, when a person asks for it by that name; its licence is said before. A file of
codes downloads nothing and opens no folder: it is decoded by a model that is here already, or by the one named.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources, util
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, cast

from .catalogue import CATALOGUE, NON_COMMERCIAL, UNPUBLISHED, Model
from .codes import CodecInfo
from .contract import CodecContract
from .downloads import PATIENCE, Bar, cache_folder, fetch, mirrored, unpack
from .errors import DamagedError, InputError, MissingError, NacreError
from .onnx_runtime import ENCODER, WEIGHTS, OnnxCodec, read_info

if TYPE_CHECKING:
    from .container.ecdc import LanguageModel

Runtime = Literal["onnx", "torch"]
RUNS = {"torch": ("torch", "torch"), "litert": ("ai_edge_litert", "lyra")}  # runtime: module and extra of this package
DEFAULT = "pearl-24k"
BUNDLED = Path(str(resources.files("nacre") / "bundled"))
SAMPLE = BUNDLED / "sample.opus"  # a sentence of speech, CC0, to try things on
SUFFIXES = (".pth", ".pt", ".th", ".bin", ".ckpt", ".pkl", ".safetensors")  # of weights
HUGGING_FACE = {  # `model_type` in a folder's config.json: the models it may be, told apart by their sample rate
    "encodec": ("encodec-24k", "encodec-48k", "encodec-32k-hf"),
    "dac": ("dac-16k", "dac-24k", "dac-44k"),
    "mimi": ("mimi-24k",),
}


@dataclass(frozen=True)
class Exported:
    """What became of a model that went to another house."""

    model: str
    target: str
    kind: str


def load(
    name: str = DEFAULT,
    runtime: Runtime | None = None,
    threads: int | None = None,
    file: str | Path | None = None,
) -> CodecContract:
    """The codec of that name in the catalogue, downloaded if need be; or of a file or folder of weights.

    `file` is where the model's weights are already, a file or a Hugging Face folder: nothing is downloaded then.
    `runtime="onnx"` needs no torch and runs on the CPU with `threads` threads (1 by default); `runtime="torch"` gives
    the torch module, for training and for other devices. By default ONNX Runtime is taken where there are graphs.
    """
    if runtime not in (None, "onnx", "torch"):
        raise InputError(f"expected runtime 'onnx' or 'torch', got {runtime!r}")
    model = CATALOGUE.get(name)
    if model is None:
        place = file if file is not None and name in UNPUBLISHED else name.removeprefix("file:")
        return _load_place(Path(place), name, runtime, threads)
    if model.kind == "language model":
        raise InputError(f"{name} is no codec: it packs .ecdc files; name it with --lm, beside the codec's --model")
    place = Path(file) if file is not None else _fetched(model)
    if not place.exists():
        raise MissingError(f"{place} is not there; expected the weights of {name}, a file or a folder")
    if _is_export(place):
        return _load_export(place, runtime, threads)
    if model.bundled:
        raise InputError(
            f"{place} is no {name}, which is a folder that nacre wrote; say whose weights they are: --model"
        )
    return _load_original(model, place, runtime, threads)


def language_model(codec: str, name: str = "") -> LanguageModel:
    """The language model of EnCodec's codes of `codec`: of a file, or of that name, downloaded if need be.

    Without a name it is that of the catalogue if it is on this machine, as a file of codes may not say what comes here.
    """
    model = CATALOGUE.get(codec.replace("encodec-", "encodec-lm-"))
    if model is None or model.kind != "language model":
        raise InputError(
            f"only codes of encodec-24k and encodec-48k have a language model, got {codec}; leave --lm out"
        )
    if name in CATALOGUE and name != model.name:
        raise InputError(f"codes of {codec} are packed with {model.name}, got {name}; name the one that fits")
    if not name and not is_here(model):
        raise InputError(
            f"packed with {model.name}, which is not on this machine; name it to have it downloaded: --lm {model.name} "
            f"(licence of its weights: {model.licence}), or a file that you have"
        )
    place = download(model) if name in ("", model.name) else Path(name)
    if not place.is_file():
        raise MissingError(f"{place} is not there; expected {model.name} or a file of its weights")
    return _language_model(model, place)


def state(model: Model) -> str:
    """Whether a model can be used at once: bundled, cached, or what it takes."""
    if model.bundled:
        return "bundled"
    if not is_readable(model):
        return "no reader yet"
    return "cached" if is_here(model) else "download" if model.files else "by hand"


def is_here(model: Model) -> bool:
    """True when a model can be loaded without a network."""
    return model.bundled or (bool(model.files) and all(path.is_file() for path in _paths(model)))


def is_readable(model: Model) -> bool:
    """True when there is a converter for a model's weights."""
    return model.bundled or util.find_spec(f"nacre.converters.{model.converter.partition('.')[0]}") is not None


def store(model: Model) -> Path:
    """The folder of a model's files in the cache."""
    return BUNDLED / model.name if model.bundled else cache_folder() / (model.store or model.name)


def download(model: Model) -> Path:
    """Bring a model's weights into the cache, unless they are there; the file or folder they are."""
    folder = store(model)
    if not is_here(model):
        if not model.files:
            raise MissingError(
                f"no address of {model.name}'s weights is known; name a file that you have: {_ways(model)}"
            )
        sys.stderr.write(f"nacre: {announcement(model)}\n")
        try:
            for remote in model.files:
                bar = Bar(remote.name)
                try:
                    archive = fetch(remote, folder / remote.name, bar, PATIENCE)
                finally:
                    bar.close()
            for member in model.members:
                unpack(archive, member, folder / model.name / _plain(member))
        except NacreError as error:
            raise type(error)(f"{model.name}: {error}; a file that you have does as well, {_ways(model)}") from error
    paths = _paths(model)
    return paths[0] if len(paths) == 1 else folder / model.name if model.members else folder


def announcement(model: Model) -> str:
    """What is said before a download: where from, how much, and the licence of the weights."""
    size = f"{model.size / 1e6:.0f} MB" if model.size else "of unknown size"
    host = mirrored(model.files[0].address).split("/")[2]
    limits = ", no commercial use" if model.licence.startswith(NON_COMMERCIAL) else ""
    return f"{model.name} is downloaded once, {size}, from {host}; licence of its weights: {model.licence}{limits}"


def find(name: str) -> Model:
    """The row of the catalogue of that name."""
    if name in UNPUBLISHED:
        raise InputError(_unpublished(name))
    if name not in CATALOGUE:
        raise InputError(f"no model {name!r} in the catalogue; did you mean {_nearest(name)}? `nacre models` lists all")
    return CATALOGUE[name]


def describe(model: Model) -> dict[str, Any]:
    """All that is known of a model, as plain values that JSON can take."""
    about = {"state": state(model), "size": model.size, "folder": str(store(model)), "bundled": model.bundled}
    return asdict(model) | about


def is_model(name: str) -> bool:
    """True for what `load` takes, and not for a file of codes."""
    place = Path(name.removeprefix("file:"))
    return name in CATALOGUE or name.startswith("file:") or place.suffix in SUFFIXES or place.is_dir()


def export(
    name: str, target: str | Path, kind: str = "nacre", whose: str | None = None, overwrite: bool = False
) -> Exported:
    """Write a model for another house: to a folder of ours ("nacre", "onnx") or of Hugging Face's ("hf"), or to a file.

    `name` is what `load` takes; where it is a file that does not say whose weights it holds, `whose` does.
    """
    codec = load(whose, "torch", file=name.removeprefix("file:")) if whose else load(name, "torch")
    from .converters.to_files import save_as

    save_as(codec, target, kind, overwrite)
    return Exported(codec.info.name, str(target), kind)


@lru_cache(2)
def _language_model(model: Model, place: Path) -> LanguageModel:
    return cast("LanguageModel", _read_original(model, place, None))


class Shelf:
    """Codecs for files: finds the one that made a file, and loads each once. Safe to use from several threads."""

    def __init__(self, name: str | None = None, threads: int | None = None, file: str | Path | None = None) -> None:
        self._name, self._threads, self._file, self._lock = name, threads, file, Lock()
        self._codecs: dict[str, CodecContract] = {}

    @property
    def named(self) -> bool:
        """True when a person said which model it is."""
        return self._name is not None

    def __call__(self, info: CodecInfo) -> CodecContract:
        """The codec named when this was made, or else the one that `info` names, if it is here."""
        if not self._name:
            self._check_here(info.name)
        return self.codec(self._name or info.name)

    def codec(self, name: str = "") -> CodecContract:
        """The codec of that name, or the one named when this was made."""
        name = self._name or name
        with self._lock:
            if name not in self._codecs:
                self._codecs[name] = load(name, threads=self._threads, file=self._file)
            return self._codecs[name]

    def _check_here(self, name: str) -> None:
        """Nor may a file say what is downloaded, or which folder is opened."""
        if name not in CATALOGUE:
            raise InputError(
                f"made by {name!r}, which does not come with nacre; name the folder of its model (--model)"
            )
        model = CATALOGUE[name]
        if self._file is None and not is_here(model):
            raise InputError(
                f"made by {name}, which is not on this machine; name it to have it downloaded: --model {name} "
                f"(licence of its weights: {model.licence}), or a file that you have: --model {name} --from FILE"
            )


def _fetched(model: Model) -> Path:
    if not is_readable(model):
        raise MissingError(f"nacre knows {model.name} and cannot read its weights yet; see `nacre models`")
    if model.bundled:
        return BUNDLED / model.name
    module, extra = RUNS[model.runtime]
    if util.find_spec(module) is None:  # said before the download and not after
        raise MissingError(f"{model.name} needs {module}; pip install 'nacre[{extra}]'")
    return download(model)


def _paths(model: Model) -> list[Path]:
    """The files in the cache that a model is read from; what others unpacked does not lie among them."""
    folder = store(model)
    members = [folder / model.name / _plain(member) for member in model.members]
    return members or [folder / remote.name for remote in model.files]


def _plain(member: str) -> str:
    """A name for a member of an archive, whatever its number of steps."""
    return member.replace("checkpoint-*steps", "checkpoint")


def _ways(model: Model) -> str:
    return f"--model {model.name} --from FILE, or load({model.name!r}, file=FILE)"


def _load_place(place: Path, name: str, runtime: Runtime | None, threads: int | None) -> CodecContract:
    if not place.exists():
        if str(place) in UNPUBLISHED:
            raise InputError(_unpublished(str(place)))
        raise InputError(
            f"no model {name!r}; expected a name such as {_nearest(name)} (see `nacre models`), a file or a folder"
        )
    if _is_export(place):
        return _load_export(place, runtime, threads)
    return _load_original(_recognised(place), place, runtime, threads, named=False)


def _unpublished(name: str) -> str:
    return f"nobody has published weights of {name}; train it, or what `nacre recipes` has near it, and name the folder"


def _nearest(name: str) -> str:
    return (get_close_matches(name, CATALOGUE, 1) or [DEFAULT])[0]


def _recognised(place: Path) -> Model:
    """The row of the catalogue that a file or a Hugging Face folder belongs to."""
    names: Sequence[str] = [
        model.name for model in CATALOGUE.values() if [place.name] == [file.name for file in model.files]
    ]
    if (place / "config.json").is_file():
        try:
            about = json.loads((place / "config.json").read_text("utf-8"))
            rate = about.get("sampling_rate", 24_000)
            known = HUGGING_FACE.get(about.get("model_type"), ())
            if "vq_strides" in about:  # a SNAC has no model_type; which one it is, its reader finds out
                known, rate = ("snac-24k",), 24_000
        except (ValueError, AttributeError, TypeError) as error:
            raise DamagedError(f"{place / 'config.json'} is no configuration of a model: {error}") from error
        names = [name for name in known if CATALOGUE[name].sample_rate == rate]
    if len(names) != 1:
        raise InputError(
            f"{place} does not say whose weights it holds; say it: --model NAME --from {place} (convert: --codec NAME)"
        )
    return CATALOGUE[names[0]]


def _is_export(place: Path) -> bool:
    """True for a folder that nacre wrote."""
    if not (place / WEIGHTS).is_file():
        return (place / ENCODER).is_file()
    try:
        read_info(place / WEIGHTS)
    except DamagedError:
        return (place / ENCODER).is_file()
    return True


def _load_export(folder: Path, runtime: Runtime | None, threads: int | None) -> CodecContract:
    if runtime == "onnx" or (runtime is None and (folder / ENCODER).is_file()):
        return OnnxCodec(folder, 1 if threads is None else threads)
    try:
        from .converters.from_catalogue import use_threads
        from .converters.from_safetensors import load_folder
    except ImportError as error:
        raise MissingError(f"{folder} needs torch and safetensors; pip install 'nacre[torch]'") from error
    use_threads(threads)
    return load_folder(folder)


def _load_original(
    model: Model, place: Path, runtime: Runtime | None, threads: int | None, named: bool = True
) -> CodecContract:
    """The weights at `place`, as their project published them; unless `named`, the codec says which model it is."""
    if runtime == "onnx":
        raise InputError(
            f"{model.name} comes without ONNX graphs; load it with runtime='torch', or make graphs with "
            f"`nacre convert {model.name} FOLDER --to onnx`"
        )
    codec: CodecContract = _read_original(model, place, threads)
    if named and codec.info.name != model.name:
        if codec.info.name != model.preset:
            raise InputError(f"{place} holds {codec.info.name}, not {model.name}; load it under that name")
        codec.info = replace(codec.info, name=model.name)
    return codec


def _read_original(model: Model, place: Path, threads: int | None) -> Any:
    """What the converter of `model` makes of the weights at `place`."""
    from .converters.from_catalogue import reader

    try:
        read = reader(model, place, threads)
    except ImportError as error:
        raise MissingError(f"{model.name} needs torch and safetensors; pip install 'nacre[torch]'") from error
    try:
        return read()
    except DamagedError as error:
        raise error if str(place) in str(error) else DamagedError(f"{place}: {error}") from error
