"""Recipe: one training run, whole, in one TOML file.

Settings of the run are plain keys; settings that belong to something else (`[codec]`, `[weights]`, `[mel]`,
`[feature_matching]`, `[augment]`, `[noise]`) are tables with the keys of the dataclass they fill. What a file leaves
out has the default written here; a recipe that is saved leaves nothing out. A file may describe several runs, one
after another, as `[[stage]]` tables: `stages.py` reads those.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..codecs.audiodec import AudioDec, AudioDecConfig
from ..codecs.base import Codec
from ..codecs.dac import DAC, DACConfig
from ..codecs.encodec import EnCodec, EnCodecConfig
from ..codecs.hac import HAC, HACConfig, HACWaveConfig
from ..codecs.hificodec import HiFiCodec, HiFiCodecConfig
from ..codecs.hilcodec import HILCodec, HILCodecConfig
from ..codecs.nac2023 import NAC2023, NAC2023Config
from ..codecs.pearl import Pearl, PearlConfig
from ..codecs.snac import SNAC, SNACConfig
from ..codecs.soundstream import SoundStream, SoundStreamConfig
from ..errors import InputError
from .adversarial import FeatureMatching
from .augment import Augment
from .losses import MelLossConfig

ARCHITECTURES: dict[str, tuple[type[Any], Callable[..., Codec]]] = {
    "pearl": (PearlConfig, Pearl),
    "soundstream": (SoundStreamConfig, SoundStream),
    "encodec": (EnCodecConfig, EnCodec),
    "dac": (DACConfig, DAC),
    "snac": (SNACConfig, SNAC),
    "hilcodec": (HILCodecConfig, HILCodec),
    "audiodec": (AudioDecConfig, AudioDec),
    "hificodec": (HiFiCodecConfig, HiFiCodec),
    "hac": (HACConfig, HAC),
    "hac-wave": (HACWaveConfig, HAC),
    "nac-2023": (NAC2023Config, NAC2023),
}
Parsed = TypeVar("Parsed")

LEAST = {  # what a setting may not fall under
    "crop": 0.01,
    "batch": 1,
    "steps": 1,
    "minutes": 0,
    "warmup": 0,
    "lr": 0,
    "discriminator_lr": 0,
    "discriminator_share": 0.01,
    "discriminator_warmup": 0,
    "drop": 0,
    "final_lr": 0,
    "adversarial_start": 0,
    "clip": 0,
    "log_every": 1,
    "sample_every": 1,
    "checkpoint_every": 1,
    "keep_last": 1,
    "validation_clips": 1,
}


PARTS = ("encoder", "quantizer", "decoder")  # of every codec


@dataclass(frozen=True)
class About:
    """What `nacre recipes` tells of a recipe; nothing here bears on the run."""

    summary: str = ""
    kbps: tuple[float, float] = (0.0, 0.0)  # with one level, and with all
    parameters: int = 0  # of the codec, of several stages that of the last
    hardware: str = ""  # what its authors had, or what we think of
    gpu_hours: float = 0.0  # estimated for one A100, as docs/training.md says


@dataclass(frozen=True)
class Weights:
    """What each loss counts; zero leaves it out."""

    mel: float = 15.0
    stft: float = 0.0
    complex_stft: float = 8.0
    log_snr: float = 8.0
    intelligibility: float = 0.0
    loudness: float | None = None
    whisper: float = 0.0
    samples: float = 0.0
    squares: float | None = None  # of the samples' differences (AcademiCodec)
    adversarial: float = 1.0
    feature: float = 2.0
    commitment: float = 1.0
    codebook: float = 0.0  # for codebooks learnt by gradient; those learnt by moving averages have no such loss


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a run goes, except its data and its hardware."""

    name: str = "pearl-24k"  # of the model, in every file that it writes
    architecture: str = "pearl"  # one of ARCHITECTURES
    stage: int = 0  # place in a recipe of several stages; 0 where there is one
    seed: int = 0
    # length: `steps`, or with `minutes` above zero so much wall clock, over all sittings
    steps: int = 200_000
    minutes: float = 0.0
    # data
    crop: float = 1.0  # seconds
    batch: int = 10  # crops a step and process
    validation_clips: int = 8  # crops that no step moves; every checkpoint is judged by them
    # losses
    stft_windows: tuple[int, ...] = (240, 600, 1200)  # samples
    complex_stft_windows: tuple[int, ...] = (256, 640, 1600)
    complex_stft_power: float | None = None  # below 1, faint partials count beside loud ones
    whisper: str = "openai/whisper-base"  # folder or name of the model behind `weights.whisper`
    balancer: bool = False  # weights are shares of the gradient (EnCodec), not factors
    # discriminators
    discriminators: tuple[str, ...] = ()  # families, as `adversary.FAMILIES` names them
    gan: Literal["hinge", "clipped-hinge", "least-squares"] = "clipped-hinge"
    average: bool = True  # the mean over discriminators (EnCodec), else the sum (HiFi-GAN, DAC)
    levelled: bool = False  # discriminators hear every crop at a peak of 0.8 (DAC)
    adversarial_start: float = 0.3  # below 1 a share of the run, else a step
    adversarial_on_cpu: bool = False  # a step with discriminators costs a CPU several without
    discriminator_share: float = 1.0  # of the steps in which they learn (EnCodec: 2/3)
    discriminator_warmup: int = 1000  # steps in which fresh ones learn alone, when the codec comes with weights
    # what does not learn
    held: tuple[str, ...] = ()  # of "encoder", "quantizer", "decoder"
    # optimizers: AdamW
    lr: float = 6e-4
    discriminator_lr: float = 3e-4
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 1e-3
    clip: float = 5.0  # norm that gradients are cut down to; zero for never
    discriminator_clip: float | None = None  # the same of the discriminators; as `clip` unless told
    schedule: Literal["cosine", "exponential", "constant", "steps"] = "cosine"
    drops: tuple[float, ...] = ()  # shares of the run at which "steps" multiplies the rates
    drop: float = 0.5  # by this
    warmup: int = 300  # steps
    final_lr: float = 0.02  # share of the learning rate that is left at the end
    ema: float = 0.999  # decay of the averaged weights, those that are shipped
    # hardware
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    # what is written, in steps
    log_every: int = 50
    sample_every: int = 2000
    checkpoint_every: int = 500
    keep_last: int = 2
    keep_best: bool = True
    weight_bits: Literal[8, 16] = 16  # of the finished weights; 8: whole numbers and a scale a row, half the file
    # tables
    about: About = field(default_factory=About)
    codec: Any = field(default_factory=PearlConfig)  # the architecture's config
    weights: Weights = field(default_factory=Weights)
    mel: MelLossConfig = field(default_factory=MelLossConfig)
    feature_matching: FeatureMatching = field(default_factory=FeatureMatching)
    augment: Augment = field(default_factory=Augment)
    noise: Augment = field(default_factory=Augment)  # what the codec hears and should leave out: denoising

    def __post_init__(self) -> None:
        for key, least in LEAST.items():
            if not getattr(self, key) >= least:
                raise InputError(f"recipe key {key!r} is at least {least}, got {getattr(self, key)}")
        if not 0 <= self.ema < 1 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"ema and betas lie from 0 up to 1, got {self.ema} and {self.betas}")
        if odd := sorted(set(self.held) - set(PARTS)):
            raise InputError(f"recipe key 'held' holds some of {', '.join(PARTS)}, got {', '.join(odd)}")
        for key in ("speed", "gain", "polarity"):
            if getattr(self.noise, key):
                raise InputError(f"noise.{key} must be 0: what the codec hears has to stay aligned with what judges it")

    def build(self) -> Codec:
        """The codec that this recipe trains, with fresh weights."""
        return ARCHITECTURES[self.architecture][1](self.codec, name=self.name)

    def started(self, step: int, progress: float) -> bool:
        """Whether the discriminators have their say at `step`, a share `progress` into the run."""
        return step >= self.adversarial_start if self.adversarial_start >= 1 else progress >= self.adversarial_start

    def to_toml(self, table: str = "") -> str:
        """The whole recipe, every key, as the TOML that `read_recipe` reads; as a `table` of its own if so named."""
        head, prefix = (f"[[{table}]]\n", f"{table}.") if table else ("", "")
        return head + "\n".join(_lines(self, prefix)) + "\n"


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in a TOML file, with overrides such as `steps=1000` or `codec.dim=128`."""
    return parsed_file(path, lambda text: parse_recipe(text, overrides))


def parsed_file(path: str | Path, parse: Callable[[str], Parsed]) -> Parsed:
    """What `parse` makes of the text of a recipe's file."""
    try:
        return parse(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(f"the recipe {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {path} is not TOML: {error}") from error


def parse_recipe(text: str, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in the text of a TOML file."""
    data = tomllib.loads(text)
    if isinstance(data.get("stage"), list):
        raise InputError("this recipe has several stages; read it with stages.read_stages")
    return recipe_of(data, overrides)


def recipe_of(data: dict[str, Any], overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in what a TOML file says, with overrides; `data` is changed by them."""
    for override in overrides:
        _override(data, override)
    architecture = data.get("architecture", Recipe.architecture)
    if architecture not in ARCHITECTURES:
        raise InputError(f"recipe key 'architecture' is one of {', '.join(ARCHITECTURES)}, got {architecture!r}")
    data.setdefault("codec", {})  # its defaults are the architecture's
    recipe: Recipe = _fill(Recipe, data, {"codec": ARCHITECTURES[architecture][0]})
    return recipe


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"expected an override as key=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # words need no quotes
    *tables, name = key.strip().split(".")
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise InputError(f"recipe key {table!r} is no table, so {override!r} sets nothing")
    data[name] = value


def _fill(kind: type[Any], data: Mapping[str, Any], kinds: Mapping[str, Any], prefix: str = "") -> Any:
    """A dataclass `kind` from a TOML table; `kinds` says what a field holds where its annotation does not."""
    hints = get_type_hints(kind) | dict(kinds)
    names = [f.name for f in fields(kind)]
    for key in data:
        if key not in names:
            close = difflib.get_close_matches(key, names, 1, cutoff=0.0)
            raise InputError(f"a recipe has no key {prefix + key!r}; did you mean {prefix + close[0]!r}?")
    return kind(**{key: _typed(value, hints[key], prefix + key) for key, value in data.items()})


def _typed(value: Any, hint: Any, key: str) -> Any:
    """`value` as its annotation asks, or an error that names the key."""
    if is_dataclass(hint) and isinstance(value, dict):
        return _fill(hint, value, {}, f"{key}.")  # type: ignore[arg-type]  # a class, not an instance
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal and any(value == arg and type(value) is type(arg) for arg in args):
        return value
    if origin is tuple and isinstance(value, list):
        return _items(value, args, key)
    if origin is UnionType:
        return _either(value, [arg for arg in args if arg is not type(None)], key)
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is hint:
        return value
    raise InputError(f"recipe key {key!r} is {_described(hint)}, got {value!r}")


def _either(value: Any, hints: list[Any], key: str) -> Any:
    for hint in hints[:-1]:
        try:
            return _typed(value, hint, key)
        except InputError:
            continue
    return _typed(value, hints[-1], key)


def _items(values: list[Any], args: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    hints = args[:1] * len(values) if args[1:] == (...,) else args
    if len(hints) != len(values):
        raise InputError(f"recipe key {key!r} is a list of {len(hints)}, got {len(values)}")
    return tuple(_typed(value, hint, key) for value, hint in zip(values, hints, strict=True))


def _described(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(arg) for arg in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {getattr(get_args(hint)[0], '__name__', get_args(hint)[0])}"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return words.get(hint, "a table")


def _lines(table: Any, prefix: str) -> Iterable[str]:
    """Keys of a table, then the tables in it; stage and noise are told of where there are some."""
    rows = [row for row in _shown(table) if row not in (("noise", Augment()), ("stage", 0))]
    yield from (f"{key} = {_toml(value)}" for key, value in rows if not is_dataclass(value))
    for key, value in rows:
        if is_dataclass(value):
            yield from ("", f"[{prefix}{key}]", *_lines(value, f"{prefix}{key}."))


def _shown(table: Any) -> Iterable[tuple[str, Any]]:
    """Fields that a TOML file can hold: it has no word for None, which is what leaving a key out means."""
    return ((f.name, value) for f in fields(table) if (value := getattr(table, f.name)) is not None)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # which JSON allows and TOML does not
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
