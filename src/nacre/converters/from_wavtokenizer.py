"""WavTokenizer's official weights into ours, and back again: every key used once, every shape checked.

Its checkpoints also hold an EnCodec decoder that nothing uses, and the networks it was trained against; both are left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..codecs.wavtokenizer import PRESETS, WavTokenizer, WavTokenizerConfig
from ..errors import DamagedError, InputError
from ..nn.seanet import SEANetConfig, SEANetDecoder
from ..nn.weight_norm import NEW, OLD, fuse, size_of
from .from_vocos import WINDOW, vocoder_names, vocoder_tensors, vocoder_weights
from .keys import coding_keys, digest
from .reading import check_names, fill, read_weights

ENCODEC = "feature_extractor.encodec."
PARTS = ("feature_extractor.", "backbone.", "head.")  # what is the model in a training checkpoint
UNUSED = f"{ENCODEC}decoder."
SPELLING = dict(zip(NEW, OLD, strict=True))
END = r"(weight_g|weight_v|weight|bias)"
# Where a tensor stands here, and in the package; * is q, k and v, one tensor each; {c} is conv, or convtr.
TABLE = (
    (rf"(\w+coder)\.(\d+)\.{END}", ENCODEC + r"\1.model.\2.{c}.{c}.\3"),
    (rf"(\w+coder)\.(\d+)\.body\.(\d+)\.{END}", ENCODEC + r"\1.model.\2.block.\3.conv.conv.\4"),
    (rf"(\w+coder)\.(\d+)\.shortcut\.0\.{END}", ENCODEC + r"\1.model.\2.shortcut.conv.conv.\3"),
    (r"(\w+coder)\.(\d+)\.lstm\.(\w+)", ENCODEC + r"\1.model.\2.lstm.\3"),
    (r"quantizer\.levels\.0\.codebook\.entries", ENCODEC + "quantizer.vq.layers.0._codebook.embed"),
    (r"quantizer\.levels\.0\.codebook\.sums", ENCODEC + "quantizer.vq.layers.0._codebook.embed_avg"),
    (r"quantizer\.levels\.0\.codebook\.counts", ENCODEC + "quantizer.vq.layers.0._codebook.cluster_size"),
    (r"quantizer\.levels\.0\.codebook\.started", ENCODEC + "quantizer.vq.layers.0._codebook.inited"),
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.0\.(\w+)", r"backbone.pos_net.\1.norm1.\2"),
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.2\.(\w+)", r"backbone.pos_net.\1.conv1.\2"),
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.3\.(\w+)", r"backbone.pos_net.\1.norm2.\2"),
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.5\.(\w+)", r"backbone.pos_net.\1.conv2.\2"),
    (r"decoder\.vocoder\.before\.body\.2\.norm\.(\w+)", r"backbone.pos_net.2.norm.\1"),
    (r"decoder\.vocoder\.before\.body\.2\.qkv\.(\w+)", r"backbone.pos_net.2.*.\1"),
    (r"decoder\.vocoder\.before\.body\.2\.out\.(\w+)", r"backbone.pos_net.2.proj_out.\1"),
    (r"decoder\.vocoder\.before\.body\.5\.(\w+)", r"backbone.pos_net.5.\1"),
)
VOCODER = "decoder.vocoder."
STARTED, HITS = (f"quantizer.levels.0.codebook.{name}" for name in ("started", "hits"))


def load_wavtokenizer(path: str | Path, preset: str = "wavtokenizer-75", fused: bool = True) -> WavTokenizer:
    """The WavTokenizer of a `.ckpt`, `.bin` or `.safetensors` file, or of a folder with one; ready to code."""
    if preset not in PRESETS:
        raise InputError(f"expected one of {', '.join(PRESETS)}, got {preset!r}")
    return from_wavtokenizer(read_weights(path, "WavTokenizer"), PRESETS[preset], preset, fused)


def from_wavtokenizer(
    weights: Mapping[str, Tensor],
    config: WavTokenizerConfig = PRESETS["wavtokenizer-75"],
    name: str = "wavtokenizer-75",
    fused: bool = True,
) -> WavTokenizer:
    """The codec of an official state dict, in evaluation mode; `fused=False` keeps weight norm apart."""
    codec = WavTokenizer(config, name)
    given = {k: tensor for k, tensor in weights.items() if k.startswith(PARTS) and not k.startswith(UNUSED)}
    names, vocoder = _names(codec), _vocoder(codec)
    expected = {there for theirs in names.values() for there in theirs} | set(vocoder.values()) | {WINDOW}
    check_names(given, expected, f"a {name}")
    window = torch.hann_window(config.vocoder.n_fft)
    if given[WINDOW].shape != window.shape:
        raise DamagedError(f"{WINDOW} should have {len(window)} samples, got {list(given[WINDOW].shape)}")
    ours = {key: torch.cat([given[there].detach().float() for there in theirs]) for key, theirs in names.items()}
    ours |= {f"{VOCODER}{key}": tensor for key, tensor in vocoder_weights(given, vocoder).items()}
    if ours[STARTED].numel() != 1:
        raise DamagedError(f"{names[STARTED][0]} should be one number, got shape {list(ours[STARTED].shape)}")
    ours[STARTED] = ours[STARTED].reshape(()) != 0
    ours[HITS] = ours[HITS.replace("hits", "counts")].clone()
    fill(codec, ours, f"a {name}")
    codec.info = replace(codec.info, digest=digest({key: ours[key] for key in coding_keys(codec)}))
    return (fuse(codec) if fused else codec).eval()


def to_wavtokenizer(codec: WavTokenizer) -> dict[str, Tensor]:
    """The state dict that the package loads; the decoder that nothing uses is zeros."""
    state = codec.state_dict()
    theirs = {WINDOW: torch.hann_window(codec.config.vocoder.n_fft)} | _unused(codec.config)
    theirs |= vocoder_tensors(codec.decoder.vocoder.state_dict(), _vocoder(codec))
    with torch.device("meta"):
        parted = WavTokenizer(codec.config)
    for key, names in _names(parted).items():
        tensor = state[key] if key in state else _parted(state, key)
        tensor = tensor.reshape(1).float() if key == STARTED else tensor.detach().clone()
        theirs |= {there: part.contiguous() for there, part in zip(names, tensor.chunk(len(names)), strict=True)}
    return theirs


def _names(codec: WavTokenizer) -> dict[str, list[str]]:
    """Our keys that a plain Vocos does not have, and the tensors that each is made of in the package."""
    places = {key: _place(codec, key) for key in codec.state_dict() if key != HITS}
    return {
        key: [there.replace("*", part) for part in ("qkv" if "*" in there else " ")]
        for key, there in places.items()
        if there
    }


def _place(model: nn.Module, key: str) -> str:
    """Where our tensor stands in the package, weight norm in the old spelling; "" where the table has no row."""
    path, mark, leaf = key.partition(".parametrizations.")
    if not mark:
        path, _, leaf = key.rpartition(".")
    plain = f"{path}.{SPELLING.get(mark[1:] + leaf, leaf)}"
    row = next((row for row in TABLE if re.fullmatch(row[0], plain)), None)
    kind = "convtr" if isinstance(model.get_submodule(path), nn.ConvTranspose1d) else "conv"
    return re.sub(row[0], row[1], plain).format(c=kind) if row else ""


def _vocoder(codec: WavTokenizer) -> dict[str, str]:
    return vocoder_names(codec.decoder.vocoder.state_dict(), codec.config.conditions)


def _parted(state: Mapping[str, Tensor], key: str) -> Tensor:
    """Size or direction of a fused weight: all of the size there is, and the weight itself."""
    weight = state[key.partition(".parametrizations")[0] + ".weight"]
    return size_of(weight) if key.endswith(NEW[0]) else weight


def _unused(config: WavTokenizerConfig) -> dict[str, Tensor]:
    """Zeros for the EnCodec decoder in every checkpoint, whose strides are EnCodec's whatever the encoder's are."""
    with torch.device("meta"):
        model = nn.ModuleDict({"decoder": SEANetDecoder(replace(config.seanet, strides=SEANetConfig().strides))})
    return {_place(model, key): torch.zeros(tensor.shape) for key, tensor in model.state_dict().items()}
