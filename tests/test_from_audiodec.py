"""from_audiodec: what AudioDec makes of its weights, ours makes too; there and back; files that lie are refused."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from audiodec_reference import Reference, Weights, autoencoder, vocoder
from safetensors.torch import save_file
from small_audiodec import CONFIGS, official, small_audiodec

from nacre import Codes, DamagedError, InputError, MissingError
from nacre.codecs.audiodec import PRESETS, AudioDec
from nacre.converters import from_audiodec as module
from nacre.converters.from_audiodec import from_audiodec, load_audiodec, to_audiodec, to_audiodec_vocoder

HOP = 300


def noise(length: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 1, length, generator=torch.Generator().manual_seed(length)) * 0.3


def decoded(kind: str, weights: tuple[Weights, Weights | None], z: torch.Tensor) -> torch.Tensor:
    """What AudioDec's decoder or vocoder makes of latents."""
    config = CONFIGS[kind]
    if config.vocoder is None:
        return Reference(weights[0]).decode(z, config.strides[::-1], config.activated)
    assert weights[1] is not None
    return Reference(weights[1]).vocode(z, config.vocoder.groups, len(config.vocoder.kernels))


@pytest.mark.parametrize(("kind", "fused"), [*((kind, True) for kind in CONFIGS), ("activated", False), ("v1", False)])
@torch.no_grad()
def test_the_originals_latents_codes_and_sound(kind: str, fused: bool) -> None:
    codec, weights = small_audiodec(kind, fused), official(kind)
    reference, config = Reference(weights[0]), CONFIGS[kind]
    for length in (1, HOP - 1, HOP + 21, 4_000):
        wave = noise(length, batch=2)
        z = reference.encode(wave, config.strides, config.activated)
        assert (codec.encoder(wave) - z).abs().max() < 1e-5 * max(1, z.abs().max())
        indices, ours = reference.quantize(z), codec.encode(wave)
        assert np.array_equal(np.stack(ours.levels, 1), indices.numpy())
        sound = decoded(kind, weights, reference.lookup(indices))[:, :, :length].numpy()
        assert np.abs(codec.decode(ours) - sound).max() < 1e-4 * max(1, np.abs(sound).max())
    assert len(np.unique(ours.levels[0])) > 5  # the codes did say something


@pytest.mark.parametrize("kind", ["sym", "v1"])
@torch.no_grad()
def test_a_stream_that_begins_with_silence_is_the_originals(kind: str) -> None:
    """AudioDec's streams begin with buffers of zeros and 8192 zero samples, ours offline and with 28 frames of them."""
    codec, weights, wave = small_audiodec(kind), official(kind), noise(12 * HOP)
    transmitter, receiver = Reference(weights[0], True), Reference(weights[1] or weights[0], True)

    def theirs(chunk: torch.Tensor) -> torch.Tensor:
        z = transmitter.lookup(transmitter.quantize(transmitter.encode(chunk)))
        return receiver.vocode(z, 3, 1) if weights[1] else receiver.decode(z)

    begun = theirs(torch.zeros(1, 1, 8192))
    sound = torch.cat([theirs(chunk) for chunk in wave.split(4 * HOP, dim=2)], dim=2).numpy()
    stream = codec.stream()
    silence = stream.decode(stream.encode(np.zeros((1, 1, 28 * HOP), np.float32)))
    ours = np.concatenate(
        [stream.decode(stream.encode(wave[:, :, at : at + HOP].numpy())) for at in range(0, 12 * HOP, HOP)], axis=2
    )
    assert silence.shape == begun.shape and np.abs(silence[..., :HOP] - begun[..., :HOP].numpy()).max() > 1e-2
    settled = (codec.info.preroll - 28) * HOP  # until v1 has forgotten how it began: it hears 38 frames
    assert np.abs(ours - sound)[..., settled:].max() < 1e-4 * max(1, np.abs(sound).max())


@pytest.mark.parametrize("kind", CONFIGS)
def test_there_and_back_is_every_bit(kind: str) -> None:
    given, voice = official(kind)
    codec = small_audiodec(kind, fused=False)
    back = to_audiodec(codec)
    whose = {key: t for key, t in given.items() if voice is None or not key.startswith("decoder.")}
    assert back.keys() == whose.keys()
    pairs = [(back[key], whose[key], key) for key in whose]
    if voice is not None:
        sound = to_audiodec_vocoder(codec)
        assert sound.keys() == voice.keys()
        pairs += [(sound[key], voice[key], key) for key in voice]
    for ours, theirs, key in pairs:
        assert ours.shape == theirs.shape, key
        assert torch.equal(ours, torch.zeros_like(theirs) if key.endswith("pad_buffer") else theirs), key


@pytest.mark.parametrize("kind", ["activated", "v0"])
def test_fused_weights_leave_again(kind: str) -> None:
    codec = small_audiodec(kind)
    voice = None if codec.config.vocoder is None else to_audiodec_vocoder(codec)
    again = from_audiodec(to_audiodec(codec), voice, codec.config)
    for (name, a), b in zip(codec.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_names_and_shapes_of_the_released_models() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(t.shape) for key, t in module._theirs(AudioDec(PRESETS["audiodec-48k-sym"])).items()}
        codec = AudioDec(PRESETS["audiodec-48k-v1"], "audiodec-48k-v1")
        voice = {key: tuple(t.shape) for key, t in module._theirs(codec).items() if key.startswith("vocoder.")}
    assert shapes["encoder.conv.conv.weight"] == (32, 1, 7)
    assert shapes["encoder.conv.pad_buffer"] == (1, 1, 6)
    assert shapes["encoder.conv_blocks.0.res_units.0.conv1.conv.weight"] == (32, 32, 7)
    assert shapes["encoder.conv_blocks.0.res_units.0.conv2.weight"] == (32, 32, 1)
    assert shapes["encoder.conv_blocks.0.conv.conv.weight"] == (64, 32, 6)
    assert shapes["encoder.conv_blocks.0.conv.conv.bias"] == (64,)
    assert shapes["projector.project.conv.weight"] == (64, 512, 3)
    assert shapes["quantizer.codebook.layers.0.embed"] == shapes["quantizer.codebook.layers.7.embed_avg"] == (64, 1024)
    assert shapes["quantizer.codebook.layers.0.cluster_size"] == (1024,)
    assert shapes["decoder.conv_blocks.0.conv.deconv.weight"] == (512, 256, 10)
    assert shapes["decoder.conv_blocks.0.conv.pad_buffer"] == (1, 512, 1)
    assert shapes["decoder.conv2.conv.weight"] == (1, 32, 7)
    assert voice["vocoder.input_conv.conv.weight_v"] == (512, 64, 7)
    assert voice["vocoder.upsamples.0.deconv.weight_v"] == (512, 256, 10)
    assert voice["vocoder.blocks.0.convs1.0.conv.weight_v"] == (768, 256, 11)
    assert voice["vocoder.blocks.0.conv_out.weight_v"] == (256, 768, 1)
    assert voice["vocoder.mean"] == voice["vocoder.scale"] == (64,)


def test_what_codebooks_have_learnt_comes_along() -> None:
    book, given = small_audiodec().quantizer.levels[1].codebook, official("sym")[0]  # type: ignore[union-attr]
    assert torch.equal(book.entries, given["quantizer.codebook.layers.1.embed"].T)  # type: ignore[union-attr, arg-type]
    assert torch.equal(book.counts, given["quantizer.codebook.layers.1.cluster_size"])  # type: ignore[union-attr, arg-type]
    assert torch.equal(book.hits, book.counts) and bool(book.started)  # type: ignore[union-attr, arg-type]


def test_a_vocoder_without_statistics_takes_latents_as_they_are() -> None:
    voice = vocoder((3,), 3, statistics=False)
    codec = from_audiodec(official("v2")[0], voice, CONFIGS["v2"])
    assert not codec.decoder[0].mean.any() and bool((codec.decoder[0].scale == 1).all())
    assert to_audiodec_vocoder(codec).keys() == voice.keys()
    with pytest.raises(InputError, match="no vocoder"):
        to_audiodec_vocoder(small_audiodec())


def test_the_digest_is_that_of_the_weights() -> None:
    fused, apart = small_audiodec("v0"), small_audiodec("v0", fused=False)
    assert fused.info.digest == apart.info.digest and len(fused.info.digest) == 16
    given, voice = official("v0")
    assert voice is not None
    voice["mean"] = voice["mean"] + 1
    assert from_audiodec(given, voice, CONFIGS["v0"]).info.digest != fused.info.digest


def checkpoint(path: Path, generator: Weights) -> Path:
    """A file as AudioDec's trainers write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scheduler = {"milestones": Counter([200_000, 400_000]), "gamma": 0.5, "last_epoch": 3}
    state = {"generator": generator, "discriminator": {"msd.weight": torch.zeros(2)}}
    torch.save(
        {
            "model": state,
            "optimizer": {"generator": {}},
            "scheduler": {"generator": scheduler},
            "steps": 3,
            "epochs": 1,
        },
        path,
    )
    return path


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The presets, narrow."""
    names = {"audiodec-48k-sym": "sym", "audiodec-48k-v1": "v1", "audiodec-24k-v2": "v2"}
    monkeypatch.setattr(module, "PRESETS", {name: CONFIGS[kind] for name, kind in names.items()})


def test_files_and_folders_of_checkpoints(tmp_path: Path) -> None:
    given, voice = official("v1")
    assert voice is not None
    folder = tmp_path / "exp" / "autoencoder" / "symAD_vctk_48000_hop300"
    early = checkpoint(folder / "checkpoint-99steps.pkl", autoencoder(seed=5))
    late = checkpoint(folder / "checkpoint-200000steps.pkl", given)
    sounding = checkpoint(
        tmp_path / "exp/vocoder/AudioDec_v1_symAD_vctk_48000_hop300_clean/checkpoint-500000steps.pkl", voice
    )
    sym = load_audiodec(folder)
    assert sym.info == load_audiodec(late).info != load_audiodec(early).info
    assert sym.info.name == "audiodec-48k-sym"
    assert sym.info.digest == small_audiodec("sym").info.digest
    digests = {
        load_audiodec(path, "audiodec-48k-v1", decoder).info.digest
        for path, decoder in ((late, sounding), (folder, sounding.parent), (tmp_path, None), (tmp_path / "exp", None))
    }
    assert digests == {small_audiodec("v1").info.digest}
    save_file(given, tmp_path / "plain.safetensors")
    torch.save(given, tmp_path / "plain.pth")
    for name in ("plain.safetensors", "plain.pth"):
        assert load_audiodec(tmp_path / name).info == sym.info


def test_an_encoder_and_a_decoder_of_two_stages(tmp_path: Path) -> None:
    """A denoising encoder, or the encoder of stage one, with the decoder of stage two: same codebooks, or refused."""
    given = official("sym")[0]
    later = given | {key: 2 * t for key, t in given.items() if key.startswith("decoder.") and "pad" not in key}
    codec = from_audiodec(given, later, CONFIGS["sym"])
    assert torch.equal(codec.decoder[0].weight, 2 * given["decoder.conv1.conv.weight"])
    assert torch.equal(codec.encoder[0].weight, given["encoder.conv.conv.weight"])
    later["quantizer.codebook.layers.2.embed"] = later["quantizer.codebook.layers.2.embed"] + 1
    with pytest.raises(InputError, match=r"speak other codes.*layers\.2\.embed"):
        from_audiodec(given, later, CONFIGS["sym"])


@pytest.mark.parametrize("change", ["drop", "add", "shape", "entries", "vocoder"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    given, voice = official("v1")
    assert voice is not None
    if change == "drop":
        del given["projector.project.conv.weight"]
    elif change == "add":
        given["encoder.conv_blocks.4.conv.conv.bias"] = torch.zeros(4)
    elif change == "shape":
        given["encoder.conv.conv.weight"] = torch.zeros(2, 1, 5)
    elif change == "entries":
        given["quantizer.codebook.layers.0.embed"] = given["quantizer.codebook.layers.0.embed"].T
    else:
        voice = official("v2")[1]
    with pytest.raises(DamagedError, match=r"missing|unknown|should have shape"):
        from_audiodec(given, voice, CONFIGS["v1"])


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def test_files_that_hold_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"model": Hostile()}, protocol=2))
    torch.save({"model": {"generator": {"a": Hostile()}}}, tmp_path / "sly.pkl")
    (tmp_path / "torn.pkl").write_bytes(checkpoint(tmp_path / "whole.pkl", official("sym")[0]).read_bytes()[:1000])
    for name in ("evil.pkl", "sly.pkl", "torn.pkl"):
        word = (
            "no file of plain weights, or damaged"
            if name == "torn.pkl"
            else r"if you trust the file.*weights_only=False"
        )
        with pytest.raises(DamagedError, match=word):
            load_audiodec(tmp_path / name)
    assert capsys.readouterr().out == ""
    torch.save({"model": {"generator": [1, 2]}}, tmp_path / "list.pkl")
    with pytest.raises(DamagedError, match="table of tensors"):
        load_audiodec(tmp_path / "list.pkl")
    with pytest.raises(MissingError, match="no file"):
        load_audiodec(tmp_path / "none.pkl")
    with pytest.raises(MissingError, match="no checkpoint-<steps>steps"):
        load_audiodec(tmp_path)
    with pytest.raises(InputError, match="expected one of audiodec"):
        load_audiodec(tmp_path, "audiodec-96k")
    for preset in ("audiodec-48k-v1", "audiodec-24k-v2"):
        with pytest.raises(InputError, match="takes two files"):
            load_audiodec(tmp_path, preset)


def test_every_vocoder_preset_knows_its_codes() -> None:
    assert all(PRESETS[name].vocoder is not None for name in module.RELEASED)


def test_codes_move_to_audiodecs_flat_indices_and_back() -> None:
    """AudioDec's streams send index + 1024 * level, `[levels, frames]`; nacre's are plain."""
    codes = small_audiodec().encode(noise(1_000).numpy())
    size = codes.info.codebook_sizes[0]
    flat = np.stack([level[0] + size * k for k, level in enumerate(codes.levels)])
    table = torch.cat([official("sym")[0][f"quantizer.codebook.layers.{k}.embed"].T for k in range(3)])
    theirs = table[torch.from_numpy(flat)].sum(0).T
    back = Codes(tuple(row[None] for row in flat - size * np.arange(3)[:, None]), codes.length, codes.info)
    assert back == codes
    z = small_audiodec().quantizer.decode([torch.from_numpy(level) for level in codes.levels])[0]
    torch.testing.assert_close(z, theirs)
