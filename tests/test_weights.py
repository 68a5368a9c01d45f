"""What a run leaves can be used, coded with, and trained on; what does not fit is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_run import small_recipe

from nacre import load, models, read
from nacre.codecs.base import Codec
from nacre.converters.to_folder import save_folder
from nacre.errors import DamagedError, InputError, MissingError
from nacre.onnx_runtime import OnnxCodec
from nacre.training import checkpoint as store
from nacre.training.adversary import build_discriminators
from nacre.training.checkpoint import Checkpoints
from nacre.training.library import names
from nacre.training.recipe import Recipe, read_recipe
from nacre.training.run import stages_for
from nacre.training.weights import finish, load_discriminators, load_generator

RECIPE = small_recipe()


def codec_and_run(run: Path, discriminators: bool = True, recipe: Recipe = RECIPE) -> Codec:
    """A run with one checkpoint, and the averaged codec in it."""
    torch.manual_seed(0)
    codec = recipe.build().train()
    if recipe is RECIPE:
        codec(torch.randn(4, 1, 4000))  # so that codebooks have started
    checkpoints = Checkpoints(run)
    folder = checkpoints.begin(7)
    store.write_tensors(folder, "average", codec.state_dict())
    store.write_tensors(folder, "generator", {})
    if discriminators:
        store.write_tensors(folder, "discriminators", build_discriminators(recipe).state_dict())
    store.write_state(folder, {"step": 7, "score": None})
    (folder / "recipe.toml").write_text(recipe.to_toml())
    checkpoints.publish(7)
    return codec.eval()


def small_run_of(name: str, run: Path) -> Codec:
    """A run of the recipe `name` at small scale, its last stage if it has several."""
    return codec_and_run(run, discriminators=False, recipe=stages_for(name, scale="small")[-1])


def test_finished_weights_code_what_the_average_codes(tmp_path: Path) -> None:
    codec = codec_and_run(tmp_path / "run")
    info = finish(tmp_path / "run", tmp_path / "weights")
    made = {path.name for path in (tmp_path / "weights").iterdir()}
    assert made >= {"model.safetensors", "encoder.onnx", "decoder.onnx", "discriminators.safetensors", "recipe.toml"}
    assert read_recipe(tmp_path / "weights" / "recipe.toml") == RECIPE
    assert info.name == "tiny" and info.digest
    assert all(
        tensor.dtype is not torch.float32 for tensor in load_file(tmp_path / "weights" / "model.safetensors").values()
    )
    wave = np.random.default_rng(0).normal(0, 0.3, (1, 1, 2000)).astype(np.float32)
    shipped = OnnxCodec(tmp_path / "weights", 1)
    ours, theirs = (each.encode(wave) for each in (codec, shipped))
    agree = np.mean([np.mean(a == b) for a, b in zip(ours.levels, theirs.levels, strict=True)])
    assert agree > 0.9  # 16 bits move a few latents over a border


def test_a_run_without_discriminators_leaves_none(tmp_path: Path) -> None:
    codec_and_run(tmp_path / "run", discriminators=False)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "discriminators.safetensors").write_bytes(b"those of earlier weights")
    finish(tmp_path / "run", tmp_path / "weights", best=True)
    assert not (tmp_path / "weights" / "discriminators.safetensors").exists()


def test_a_codec_without_graphs_is_finished_for_torch(tmp_path: Path) -> None:
    codec, place = small_run_of("snac-24k", tmp_path / "run"), tmp_path / "weights"
    place.mkdir()
    for name in ("card.md", "utmos.onnx"):
        (place / name).write_text("mine")
    for name in ("encoder.onnx", "decoder.start.onnx"):
        (place / name).write_bytes(b"of earlier weights")
    info = finish(tmp_path / "run", place)
    assert {path.name for path in place.iterdir()} == {"model.safetensors", "recipe.toml", "card.md", "utmos.onnx"}
    assert info.digest and read_recipe(place / "recipe.toml").architecture == "snac"
    kinds = {tensor.dtype for tensor in load_file(place / "model.safetensors").values()}
    assert kinds == {torch.float16}
    again, wave = load(str(place)), np.random.default_rng(0).normal(0, 0.3, (1, 1, 9000)).astype(np.float32)
    assert again.info == info
    ours, theirs = (each.encode(wave) for each in (codec, again))
    assert np.mean([np.mean(a == b) for a, b in zip(ours.levels, theirs.levels, strict=True)]) > 0.9
    assert again.decode(theirs).shape == wave.shape


def test_weights_that_cannot_be_made_leave_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec_and_run(tmp_path / "run")
    place = tmp_path / "weights"
    finish(tmp_path / "run", place)
    before = {path.name: path.read_bytes() for path in place.iterdir()}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nacre.converters.to_onnx.DecoderGraph", stop)
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path / "run", place, overrides=["weight_bits=8"])
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "weights"}


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_recipe_ends_in_a_model_that_codes(name: str, tmp_path: Path) -> None:
    small_run_of(name, tmp_path / "run")
    finish(tmp_path / "run", tmp_path / "weights")
    codec = load(str(tmp_path / "weights"))
    wave = np.random.default_rng(0).normal(0, 0.1, (1, codec.info.channels, codec.info.sample_rate)).astype(np.float32)
    assert codec.decode(codec.encode(wave)).shape == wave.shape


def test_weights_to_go_on_from(tmp_path: Path) -> None:
    codec = codec_and_run(tmp_path / "run")
    finish(tmp_path / "run", tmp_path / "weights")
    torch.manual_seed(5)
    fresh = RECIPE.build()
    load_generator(fresh, tmp_path / "weights")
    for name, value in codec.named_parameters():
        torch.testing.assert_close(dict(fresh.named_parameters())[name], value, rtol=1e-3, atol=1e-6)
    book, before = fresh.quantizer.levels[0].codebook, codec.quantizer.levels[0].codebook.entries
    torch.testing.assert_close(book.entries, before, rtol=1e-3, atol=1e-6)
    fresh.train()(torch.randn(4, 1, 4000))  # the codebooks learn on instead of starting anew
    assert (book.entries - before).norm() < 0.3 * before.norm()
    assert not torch.equal(book.entries, before)


def test_discriminators_to_go_on_from(tmp_path: Path) -> None:
    codec_and_run(tmp_path / "run")
    finish(tmp_path / "run", tmp_path / "weights")
    torch.manual_seed(5)
    model = build_discriminators(RECIPE)
    assert load_discriminators(model, tmp_path / "weights") == []
    stored = load_file(tmp_path / "weights" / "discriminators.safetensors")
    assert all(torch.equal(value, stored[name].float()) for name, value in model.state_dict().items())


def test_discriminators_that_are_not_there_start_fresh_and_say_so(tmp_path: Path) -> None:
    model = build_discriminators(small_recipe('discriminators=["scales-academicodec", "periods-academicodec"]'))
    (note,) = load_discriminators(model, tmp_path)
    assert "no discriminators.safetensors" in note and "fresh" in note
    save_file(build_discriminators(RECIPE).state_dict(), tmp_path / "discriminators.safetensors")
    (note,) = load_discriminators(model, tmp_path)
    assert "'scales-academicodec'" in note


def test_weights_of_another_codec_are_refused(tmp_path: Path) -> None:
    codec_and_run(tmp_path / "run")
    finish(tmp_path / "run", tmp_path / "weights")
    with pytest.raises(InputError, match=r"not those of the recipe's codec: .*decoder.*recipe\.toml"):
        load_generator(small_recipe("codec.dim=40").build(), tmp_path / "weights")


def test_no_weights_and_broken_weights(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no model\.safetensors in"):
        load_generator(RECIPE.build(), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 9)
    with pytest.raises(DamagedError, match="not a whole safetensors file"):
        load_generator(RECIPE.build(), tmp_path)
    with pytest.raises(MissingError, match="no checkpoint"):
        finish(tmp_path, tmp_path / "out")


def test_weights_of_eight_bits_are_trained_on_like_others(tmp_path: Path) -> None:
    codec_and_run(tmp_path / "run")
    finish(tmp_path / "run", tmp_path / "weights", overrides=["weight_bits=8"])
    assert read_recipe(tmp_path / "weights" / "recipe.toml").weight_bits == 8
    stored = load_file(tmp_path / "weights" / "model.safetensors")
    assert any(tensor.dtype is torch.int8 for tensor in stored.values())
    codec, onnx = RECIPE.build().eval(), OnnxCodec(tmp_path / "weights")
    load_generator(codec, tmp_path / "weights")
    wave = np.random.default_rng(1).normal(0, 0.1, (1, 1, 3000)).astype(np.float32)
    assert all(np.array_equal(a, b) for a, b in zip(codec.encode(wave).levels, onnx.encode(wave).levels, strict=True))


@pytest.mark.parametrize("name", ["dac-44k", "hilcodec-speech", "encodec-24k"])
def test_folded_weights_are_taken_apart_to_learn_on(name: str, tmp_path: Path) -> None:
    """What `nacre convert` writes has plain weights: trained on, the codec begins as the one that was converted."""
    torch.manual_seed(1)
    (recipe,) = stages_for(name, scale="small")
    official = recipe.build().eval()
    with torch.no_grad():
        for parameter in official.parameters():
            if not parameter.any():  # gains that training begins with: folded in, they leave nothing to take apart
                parameter.normal_(0, 0.1)
    save_folder(official, tmp_path / "plain")
    codec = recipe.build()
    assert load_generator(codec, tmp_path / "plain") == []
    wave = torch.randn(1, 1, 6400) * 0.1
    torch.testing.assert_close(codec.eval().encoder(wave), official.encoder(wave), rtol=1e-3, atol=1e-4)
    assert codec.state_dict().keys() == official.state_dict().keys()


def test_a_run_can_be_gone_on_from_and_a_decoder_exchanged(tmp_path: Path) -> None:
    codec = codec_and_run(tmp_path / "run")
    fresh = RECIPE.build()
    assert load_generator(fresh, tmp_path / "run") == []
    assert all(torch.equal(value, codec.state_dict()[name]) for name, value in fresh.state_dict().items())
    model = build_discriminators(RECIPE)
    assert load_discriminators(model, tmp_path / "run") == []
    other = small_recipe("codec.decoder_blocks=2").build()
    with pytest.raises(InputError, match="are not those of the recipe's codec"):
        load_generator(other, tmp_path / "run")
    (note,) = load_generator(other, tmp_path / "run", fresh=["decoder"])
    assert "the decoder starts anew" in note
    assert torch.equal(other.quantizer.levels[0].codebook.entries, codec.quantizer.levels[0].codebook.entries)


def test_the_shipped_discriminator_goes_on_where_it_was_and_knows_coded_speech() -> None:
    folder = Path(__file__).parent.parent / "weights" / models.DEFAULT
    recipe = replace(read_recipe(folder / "recipe.toml"), discriminators=("stft-frame-rate",))
    model = build_discriminators(recipe).eval()
    assert load_discriminators(model, folder) == []
    codec, speech = load(), read(models.SAMPLE, 24_000, 1).samples[:, :, :72_000]
    with torch.inference_mode():
        real, coded = (model(torch.from_numpy(wave)) for wave in (speech, codec.decode(codec.encode(speech))))
    assert all(r.logits.mean() > c.logits.mean() + 1 for r, c in zip(real, coded, strict=True))
