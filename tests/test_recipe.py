"""A recipe says all, says it in types, and survives being written down."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_run import small_recipe

from nacre.codecs.dac import DACConfig
from nacre.codecs.hac import PRESETS as HAC_PRESETS
from nacre.codecs.nac2023 import PRESETS as NAC_PRESETS
from nacre.codecs.pearl import Pearl, PearlConfig
from nacre.errors import InputError
from nacre.training.recipe import Recipe, parse_recipe, read_recipe
from nacre.training.stages import read_stages

PRESETS_OF = HAC_PRESETS | NAC_PRESETS
RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_complete(path: Path) -> None:
    written = tomllib.loads(path.read_text("utf-8"))
    stages = written.pop("stage", [{}])
    assert written == tomllib.loads(parse_recipe(shared_text(path)).to_toml())
    assert written["name"] == path.stem
    assert len(read_stages(path)) == len(stages)


def shared_text(path: Path) -> str:
    """What all stages of a recipe share."""
    return path.read_text("utf-8").partition("[[stage]]")[0]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_tells_of_itself_is_so(path: Path) -> None:
    recipe = read_stages(path)[-1]
    with torch.device("meta"):
        codec = recipe.build()
    assert codec.info.name == path.stem
    assert sum(each.numel() for each in codec.parameters()) == recipe.about.parameters
    rates = (codec.info.bitrate(1) / 1000, codec.info.bitrate() / 1000)
    assert recipe.about.kbps == pytest.approx(rates, abs=5e-4)
    assert recipe.about.summary and recipe.about.hardware and recipe.about.gpu_hours > 0


def test_there_is_a_recipe_of_pearl() -> None:
    recipe = read_recipe(next(path for path in RECIPES if path.stem == "pearl-24k"))
    assert recipe.codec == PearlConfig()
    assert (recipe.mel.windows[0], recipe.mel.mels[-1], recipe.mel.scale) == (128, 320, "htk")
    assert recipe.discriminators and not recipe.adversarial_on_cpu


@pytest.mark.parametrize(
    ("name", "tokens", "bitrate"),
    [("hac-v1.1", 75, 1350), ("hac-v1.3", 200, 3600), ("hac-150", 150, 2700), ("nac-2023", 50, 24_000)],
)
def test_the_recipe_builds_the_codec_of_its_name(name: str, tokens: int, bitrate: int) -> None:
    recipe = read_recipe(next(path for path in RECIPES if path.stem == name))
    with torch.device("meta"):
        info = recipe.build().info
    assert (info.name, info.frame_rate, info.bitrate()) == (name, tokens, bitrate)
    assert recipe.codec == PRESETS_OF[name]


def test_a_recipe_survives_being_written() -> None:
    for recipe in (Recipe(), small_recipe()):
        assert parse_recipe(recipe.to_toml()) == recipe


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lr=st.floats(0, 1e9, allow_nan=False),
    windows=st.lists(st.integers(16, 4096), max_size=4),
)
def test_any_value_survives_being_written(name: str, lr: float, windows: list[int]) -> None:
    recipe = Recipe(name=name, lr=lr, stft_windows=tuple(windows))
    assert parse_recipe(recipe.to_toml()) == recipe


def test_the_codec_is_the_one_described() -> None:
    codec = small_recipe().build()
    assert isinstance(codec, Pearl)
    assert (codec.info.name, codec.info.sample_rate, codec.info.codebook_sizes) == ("tiny", 8000, (16, 16))


def test_overrides_reach_keys_tables_and_bare_words() -> None:
    overrides = [
        "steps=77",
        "codec.dim = 64",
        "precision=bf16",
        "augment.gain_db=[-3, 3]",
        "weights.mel=2",
        "name=my voice",
    ]
    recipe = small_recipe(*overrides)
    assert (recipe.steps, recipe.codec.dim, recipe.precision, recipe.name) == (77, 64, "bf16", "my voice")
    assert recipe.augment.gain_db == (-3.0, 3.0)
    assert type(recipe.weights.mel) is float
    unchanged = {f.name for f in fields(Recipe)} - {"steps", "codec", "precision", "augment", "weights", "name"}
    assert all(getattr(recipe, name) == getattr(small_recipe(), name) for name in unchanged)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("stepps=3", "no key 'stepps'; did you mean 'steps'"),
        ("codec.dims=3", "no key 'codec.dims'; did you mean 'codec.dim'"),
        ("lr=fast", "'lr' is a number, got 'fast'"),
        ("batch=1.5", "'batch' is a whole number, got 1.5"),
        ("batch=true", "'batch' is a whole number, got True"),
        ("balancer=1", "'balancer' is true or false, got 1"),
        ("name=3", "'name' is a text, got 3"),
        ("betas=[0.9]", "'betas' is a list of 2, got 1"),
        ("stft_windows=[64, 0.5]", "'stft_windows' is a whole number, got 0.5"),
        ("stft_windows=64", "'stft_windows' is a list of int, got 64"),
        ("precision=int8", "'precision' is one of 'fp32', 'bf16', 'fp16', got 'int8'"),
        ("mel.power=true", "'mel.power' is one of 1, 2, got True"),
        ("codec=3", "'codec' is a table, got 3"),
        ("lr.x=3", "'lr' is no table"),
        ("architecture=oyster", "'architecture' is one of pearl, "),
        ("batch=0", "'batch' is at least 1, got 0"),
        ("lr=nan", "'lr' is at least 0, got nan"),
        ("ema=1", "ema and betas lie from 0 up to 1"),
        ('held=["ear"]', "'held' holds some of encoder, quantizer, decoder, got ear"),
        ("noise.speed=0.5", "noise.speed must be 0"),
        ("noise.gain=0.5", "noise.gain must be 0"),
        ("noise.polarity=0.5", "noise.polarity must be 0"),
        ("steps", "expected an override as key=value, got 'steps'"),
    ],
)
def test_what_does_not_fit_is_named(override: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        parse_recipe("lr = 1e-3", [override])
    assert sentence in str(error.value)


def test_a_codec_that_is_not_described_is_the_architectures_own() -> None:
    assert isinstance(parse_recipe('architecture = "dac"').codec, DACConfig)
    assert isinstance(parse_recipe("").codec, PearlConfig)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: No such file"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("steps = = 3")
    with pytest.raises(InputError, match=r"broken\.toml is not TOML"):
        read_recipe(tmp_path / "broken.toml")


def test_when_discriminators_begin() -> None:
    share, step = Recipe(adversarial_start=0.25), Recipe(adversarial_start=100)
    assert [share.started(9999, done) for done in (0.0, 0.24, 0.25, 1.0)] == [False, False, True, True]
    assert [step.started(n, 0.9) for n in (0, 99, 100, 101)] == [False, False, True, True]
    assert Recipe(adversarial_start=0).started(0, 0.0)
