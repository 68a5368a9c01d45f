"""AudioDec's official checkpoints into ours, and back.

A checkpoint is a pickle `{"model": {"generator": ...}, "optimizer": ..., ...}` named `checkpoint-<steps>steps.pkl`. An
autoencoder's holds encoder, projector, codebooks and a decoder; a vocoder's only the vocoder and the statistics of its
latents. Encoder and decoder often come from two files: the second stage holds the encoder, and a vocoder has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..codecs.audiodec import DILATIONS, PRESETS, AudioDec, AudioDecConfig
from ..codecs.audiodec_vocoder import GeneratorConfig
from ..errors import InputError, MissingError
from ..nn.conv import Conv1d, ConvTranspose1d
from .state_dicts import as_weights, check_preset, handed_back, loaded, named, read_file, unfused

CODEBOOK = {"entries": "embed", "sums": "embed_avg", "counts": "cluster_size"}
TURNED = ("embed", "embed_avg")  # AudioDec keeps entries in columns
BUFFER = ".pad_buffer"  # of a convolution: the state of the last stream it ran, which says nothing of the model
VOCODER = "vocoder"  # before the names in a vocoder's file, so that two files share one table
RELEASED = {  # folders in AudioDec's exp/: whose codes a vocoder speaks, and where it is
    f"audiodec-{rate}-{version}": (f"autoencoder/{analyser}", f"vocoder/AudioDec_{version}_{analyser}_clean")
    for rate, version, analyser in (
        ("48k", "v0", "symAD_vctk_48000_hop300"),
        ("48k", "v1", "symAD_vctk_48000_hop300"),
        ("48k", "v2", "symAD_vctk_48000_hop300"),
        ("48k", "v3", "symADuniv_vctk_48000_hop300"),
        ("24k", "v1", "symAD_libritts_24000_hop300"),
    )
}


def load_audiodec(
    path: str | Path, preset: str = "audiodec-48k-sym", decoder: str | Path | None = None, fused: bool = True
) -> AudioDec:
    """The AudioDec whose encoder and codebooks are in `path`, and whose decoder is in `decoder`, or in `path` too.

    Either is a checkpoint or a folder of them, of which the latest is taken. For a released vocoder the folder that
    holds AudioDec's `exp`, or `exp` itself, does for both. `fused=False` keeps weight norm apart, for training on.
    """
    check_preset(preset, PRESETS)
    if decoder is None and PRESETS[preset].vocoder is not None:
        path, decoder = _released(Path(path), preset)
    analyser = _read(Path(path))
    return from_audiodec(analyser, None if decoder is None else _read(Path(decoder)), preset, fused)


def from_audiodec(
    analyser: Mapping[str, Tensor],
    decoder: Mapping[str, Tensor] | None = None,
    preset: str | AudioDecConfig = "audiodec-48k-sym",
    fused: bool = True,
) -> AudioDec:
    """The codec of an autoencoder's state dict and, where that is another's, its decoder's or vocoder's."""
    config, name = (PRESETS[preset], preset) if isinstance(preset, str) else (preset, "audiodec")
    codec = AudioDec(config, name)
    given = _merged(as_weights(analyser), None if decoder is None else as_weights(decoder), config)
    for key in [key for key in given if key.endswith(TURNED)]:
        given[key] = given[key].T
    return loaded(codec, given, _names(codec), fused)


def to_audiodec(codec: AudioDec) -> dict[str, Tensor]:
    """The state dict that AudioDec's autoencoder loads strictly; without a decoder where ours is a vocoder."""
    return {key: tensor for key, tensor in _theirs(codec).items() if not key.startswith(f"{VOCODER}.")}


def to_audiodec_vocoder(codec: AudioDec) -> dict[str, Tensor]:
    """The state dict that AudioDec's vocoder loads strictly; with `mean` and `scale` where ours has any."""
    if codec.config.vocoder is None:
        raise InputError(f"{codec.info.name} has no vocoder; its decoder is part of what to_audiodec gives")
    prefix = f"{VOCODER}."
    theirs = {k.removeprefix(prefix): tensor for k, tensor in _theirs(codec).items() if k.startswith(prefix)}
    if not theirs["mean"].any() and bool((theirs["scale"] == 1).all()):
        del theirs["mean"], theirs["scale"]  # trained without statistics
    return theirs


def rename(config: AudioDecConfig) -> dict[str, str]:
    """Our modules: their names in AudioDec's, those of a vocoder's file after `vocoder.`."""
    table = dict(_encoder(config))
    if config.vocoder is None:
        table |= dict(_decoder(config))
    else:
        table |= dict(_vocoder(config.vocoder, len(config.strides)))
    for k in range(config.levels):
        table[f"quantizer.levels.{k}.codebook"] = f"quantizer.codebook.layers.{k}"
    return table


def _encoder(config: AudioDecConfig) -> Iterator[tuple[str, str]]:
    yield "encoder.0", "encoder.conv.conv"
    place = 1
    for stage in range(len(config.strides)):
        theirs = f"encoder.conv_blocks.{stage}"
        yield from _units("encoder", place, theirs)
        place += len(DILATIONS)
        yield f"encoder.{place}", f"{theirs}.conv.conv"
        place += 1
    yield f"encoder.{place + config.activated}", "projector.project.conv"


def _decoder(config: AudioDecConfig) -> Iterator[tuple[str, str]]:
    yield "decoder.0", "decoder.conv1.conv"
    place = 1
    for stage in range(len(config.strides)):
        theirs = f"decoder.conv_blocks.{stage}" + ".1" * config.activated
        place += config.activated
        yield f"decoder.{place}", f"{theirs}.conv.deconv"
        yield from _units("decoder", place + 1, theirs)
        place += 1 + len(DILATIONS)
    yield f"decoder.{place + config.activated}", "decoder.conv2.conv"


def _units(side: str, place: int, theirs: str) -> Iterator[tuple[str, str]]:
    for unit in range(len(DILATIONS)):
        yield f"{side}.{place + unit}.body.1", f"{theirs}.res_units.{unit}.conv1.conv"
        yield f"{side}.{place + unit}.body.3", f"{theirs}.res_units.{unit}.conv2"


def _vocoder(config: GeneratorConfig, stages: int) -> Iterator[tuple[str, str]]:
    yield "decoder.0", VOCODER
    yield "decoder.1", f"{VOCODER}.input_conv.conv"
    for stage in range(stages):
        ours, theirs = f"decoder.{3 * stage + 4}", f"{VOCODER}.blocks.{stage}"
        yield f"decoder.{3 * stage + 3}", f"{VOCODER}.upsamples.{stage}.deconv"
        if config.groups == 1:
            for k in range(len(config.kernels)):
                yield from _block(config, f"{ours}.branches.{k}", 0, f"{theirs}.blocks.{k}")
        else:
            yield from _block(config, ours, 1, theirs)
            yield f"{ours}.{1 + len(config.dilations)}", f"{theirs}.conv_out"
    yield f"decoder.{3 * stages + 3}", f"{VOCODER}.output_conv.conv"


def _block(config: GeneratorConfig, ours: str, first: int, theirs: str) -> Iterator[tuple[str, str]]:
    for unit in range(len(config.dilations)):
        for layer, name in ((1, "convs1"), (3, "convs2")):
            yield f"{ours}.{first + unit}.body.{layer}", f"{theirs}.{name}.{unit}.conv"


def _names(codec: AudioDec) -> dict[str, str]:
    return named(codec, rename(codec.config), CODEBOOK)


def _merged(
    analyser: dict[str, Tensor], decoder: Mapping[str, Tensor] | None, config: AudioDecConfig
) -> dict[str, Tensor]:
    """One table of tensors: encoder, projector and codebooks of `analyser`, and what decodes."""
    if decoder is not None:
        analyser = {key: tensor for key, tensor in analyser.items() if not key.startswith("decoder.")}
        if config.vocoder is None:
            _check_codebooks(analyser, decoder)
            analyser |= {key: tensor for key, tensor in decoder.items() if key.startswith("decoder.")}
        else:
            width = torch.zeros(config.latent)
            plain = {"mean": width, "scale": width + 1}  # of a vocoder that was trained without statistics
            analyser |= {f"{VOCODER}.{key}": tensor for key, tensor in (plain | dict(decoder)).items()}
    return {key: tensor for key, tensor in analyser.items() if not key.endswith(BUFFER)}


def _check_codebooks(analyser: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> None:
    """An error where both files have codebooks and they are not the same: the decoder knows other codes then."""
    for key, tensor in analyser.items():
        other = decoder.get(key)
        if key.endswith(".embed") and other is not None and not torch.equal(tensor, other):
            raise InputError(
                f"encoder and decoder speak other codes: {key} is not the same in both; take files of one model"
            )


def _theirs(codec: AudioDec) -> dict[str, Tensor]:
    theirs = {
        key: tensor.T.contiguous() if key.endswith(TURNED) else tensor
        for key, tensor in handed_back(codec, _names(unfused(codec))).items()
    }
    for ours, name in rename(codec.config).items():
        layer = codec.get_submodule(ours)
        if isinstance(layer, Conv1d | ConvTranspose1d) and layer.kernel.span > 1:  # 1x1 convolutions keep nothing
            past = layer.kernel.span - 1 if isinstance(layer, Conv1d) else 1
            theirs[name.rpartition(".")[0] + BUFFER] = torch.zeros(1, layer.in_channels, past)
    return theirs


def _released(root: Path, preset: str) -> tuple[Path, Path]:
    """Where AudioDec's `exp` keeps the encoder and the vocoder of a released model."""
    for place in (root / "exp", root):
        paths = [place / folder for folder in RELEASED.get(preset, ())]
        if paths and all(path.is_dir() for path in paths):
            return paths[0], paths[1]
    raise InputError(
        f"{preset} takes two files: an autoencoder's for the encoder, and decoder=… for the vocoder; got {root}, which "
        "holds no exp/ with both"
    )


def _read(path: Path) -> dict[str, Tensor]:
    """The generator's state dict in a checkpoint, or in the latest of a folder."""
    if path.is_dir():
        path = _latest(path)
    return as_weights(read_file(path, "AudioDec", "model", "generator"), path)


def _latest(folder: Path) -> Path:
    steps = {path: re.fullmatch(r"checkpoint-(\d+)steps\.pkl", path.name) for path in folder.iterdir()}
    found = {path: int(match[1]) for path, match in steps.items() if match}
    if not found:
        raise MissingError(f"no checkpoint-<steps>steps.pkl in {folder}; expected a folder of AudioDec's exp/")
    return max(found, key=lambda path: found[path])
