"""State dicts of other houses: files that run nothing, each tensor used once, every spelling, and the way back."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nacre import DamagedError, InputError, MissingError
from nacre.converters.state_dicts import (
    as_weights,
    check_preset,
    fill,
    handed_back,
    named,
    placed,
    read_file,
    read_weights,
    taken,
    without_constants,
)
from nacre.nn.attention import CausalAttention
from nacre.nn.weight_norm import NEW, OLD, fuse, normalise
from nacre.quantizers.codebook import Codebook, CodebookConfig

TABLE = {"0": "front.conv", "1": "book"}
LEAVES = {"entries": "embedding.weight"}
WEIGHTS = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}


class Hostile:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (1,))


def model(ema: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(normalise(nn.Conv1d(2, 3, 5)), Codebook(4, 3, CodebookConfig(ema=ema)))


def theirs() -> dict[str, Tensor]:
    torch.manual_seed(1)
    shapes = {"front.conv.weight_g": (3, 1, 1), "front.conv.weight_v": (3, 2, 5), "front.conv.bias": (3,)}
    return {key: torch.randn(shape) for key, shape in (shapes | {"book.embedding.weight": (4, 3)}).items()}


def same(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(some[key], others[key]) for key in others)


def test_names_follow_the_table_and_what_is_learnt_stays_out() -> None:
    names = named(model(), TABLE, LEAVES)
    assert set(names.values()) == set(theirs())
    assert names[f"0.{NEW[0]}"] == "front.conv.weight_g"
    assert names["1.entries"] == "book.embedding.weight"
    assert "1.counts" in named(model(), TABLE, LEAVES | {"counts": "cluster_size"})


def test_patterns_place_modules_and_know_transposed_ones() -> None:
    rows = ((r"(\d)", r"net.\1.{c}"), (r"(\d)\.norm", r"net.\1.{c}.norm"))
    parts: list[nn.Module] = [nn.Conv1d(1, 1, 1), nn.ConvTranspose1d(1, 1, 1)]
    for part in parts:
        part.norm = nn.GroupNorm(1, 1)
    assert placed(nn.Sequential(*parts), rows) == {
        "0": "net.0.conv", "0.norm": "net.0.conv.norm", "1": "net.1.convtr", "1.norm": "net.1.convtr.norm"
    }  # fmt: skip


def test_filled_weights_come_back_bit_for_bit() -> None:
    ours, given = model(), theirs()
    names = named(ours, TABLE, LEAVES)
    fill(ours, taken(given, names, "X"), "X")
    assert torch.equal(ours[1].entries, given["book.embedding.weight"])  # type: ignore[arg-type]
    assert same(handed_back(ours, names), given)
    assert set(handed_back(ours, names, "new")) >= {f"front.conv.{leaf}" for leaf in NEW}


def test_fused_weights_come_back_as_size_and_direction_or_plain() -> None:
    ours, again = model(), model()
    names = named(ours, TABLE, LEAVES)
    fill(ours, taken(theirs(), names, "X"), "X")
    product = ours[0].weight.detach().clone()  # type: ignore[operator]
    assert torch.equal(handed_back(ours, names, "plain")["front.conv.weight"], product)
    fill(again, taken(handed_back(fuse(ours), names), names, "X"), "X")
    torch.testing.assert_close(again[0].weight, product)
    assert torch.equal(handed_back(ours, names, "plain")["front.conv.weight"], ours[0].weight)  # type: ignore[arg-type]


def test_a_file_whose_weight_norm_was_removed_fits_too() -> None:
    given, ours = theirs(), model()
    size, direction = given.pop("front.conv.weight_g"), given.pop("front.conv.weight_v")
    plain = size * direction / direction.flatten(1).norm(dim=1)[:, None, None]
    fill(ours, taken(given | {"front.conv.weight": plain}, named(ours, TABLE, LEAVES), "X"), "X")
    torch.testing.assert_close(ours[0].weight, plain)


def test_queries_keys_and_values_are_three_tensors_there_and_one_here() -> None:
    attention = CausalAttention(4, 2, 8)
    names = {"qkv.weight": "*_proj.weight", "out.weight": "o_proj.weight"}
    given = {f"{part}_proj.weight": torch.randn(4, 4) for part in "qkvo"}
    fill(attention, taken(given, names, "X"), "X")
    assert torch.equal(attention.qkv.weight[4:8], given["k_proj.weight"])
    assert same(handed_back(attention, names), given)
    with pytest.raises(DamagedError, match="do not fit together"):
        taken(given | {"v_proj.weight": torch.randn(4, 5)}, names, "X")


def test_a_truth_is_one_number_there_and_codebooks_have_heard_what_they_counted() -> None:
    book = Codebook(4, 3)
    names = named(book, {"": "book"}, {"sums": "avg", "counts": "size", "started": "inited", "entries": "embed"})
    counts = torch.tensor([1.0, 2, 3, 4])
    given = {"book.avg": torch.ones(4, 3), "book.size": counts, "book.embed": torch.ones(4, 3)}
    for flag in (0.0, 1.0):
        whole = given | {"book.inited": torch.tensor([flag])}
        fill(book, taken(whole, names, "X"), "X")
        assert bool(book.started) is bool(flag)
        assert same(handed_back(book, names), whole)
    inside, names = nn.Sequential(Codebook(4, 3)), {f"0.{key}": there for key, there in names.items()}
    del names["0.started"]  # whose file says nothing of it
    fill(inside, taken(given, names, "X"), "X")
    assert torch.equal(inside[0].hits, counts)  # type: ignore[arg-type]
    assert bool(inside[0].started)


@pytest.mark.parametrize("change", ["drop", "add", "shape"])
def test_what_does_not_fit_is_refused(change: str) -> None:
    ours, given = model(), theirs()
    names = named(ours, TABLE, LEAVES)
    if change == "drop":
        del given["front.conv.bias"]
    elif change == "add":
        given["back.conv.bias"] = torch.zeros(3)
    else:
        given["front.conv.bias"] = torch.zeros(4)
    word = r"front\.conv\.bias should have shape \[3\], got \[4\]" if change == "shape" else "bias (missing|unknown)"
    with pytest.raises(DamagedError, match=rf"^these are not the weights of X: .*{word}"):
        fill(ours, taken(given, names, "X"), "X", names)


def test_constants_may_be_there_but_must_be_the_same() -> None:
    constants = {"window": torch.hann_window(8)}
    assert without_constants({"a": torch.ones(1)} | constants, constants, "X").keys() == {"a"}
    assert without_constants({"a": torch.ones(1)}, constants, "X").keys() == {"a"}
    for odd in (torch.hann_window(9), torch.ones(8)):
        with pytest.raises(DamagedError, match="window is another than that model's"):
            without_constants({"window": odd}, constants, "X")


def test_every_spelling_is_the_old_one() -> None:
    given, spelling = theirs(), dict(zip(OLD, NEW, strict=True))
    new = {}
    for key, tensor in given.items():
        module, _, leaf = key.rpartition(".")
        new[f"module.{module}.{spelling.get(leaf, leaf)}"] = tensor
    assert as_weights(new).keys() == given.keys()
    with pytest.raises(DamagedError, match="twice"):
        as_weights(given | new)
    for wrong in ([1], {"a": 1}, None):
        with pytest.raises(DamagedError, match="expected a state dict"):
            as_weights(wrong)


def test_presets_are_named() -> None:
    check_preset("b", {"a": 1, "b": 2})
    with pytest.raises(InputError, match="expected one of a, b, got 'c'"):
        check_preset("c", {"a": 1, "b": 2})


def test_files_folders_and_training_checkpoints_load(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "plain.pth")
    torch.save({"model": {"generator": WEIGHTS}, "epoch": 3}, tmp_path / "trained.ckpt")
    assert same(read_weights(tmp_path / "plain.pth", "X"), WEIGHTS)
    assert same(read_weights(tmp_path / "plain.pth", "X", "model"), WEIGHTS)
    assert same(read_weights(str(tmp_path / "trained.ckpt"), "X", "model", "generator"), WEIGHTS)
    assert read_file(tmp_path / "trained.ckpt", "X")["epoch"] == 3
    torch.save({"other": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert read_weights(tmp_path, "X").keys() == {"other"}
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    assert same(read_weights(tmp_path, "X"), WEIGHTS)  # it goes before the pickle


@pytest.mark.parametrize("core", ["core", "_core"])
def test_numbers_of_numpy_beside_the_weights_do_no_harm(tmp_path: Path, core: str) -> None:
    held = {"state_dict": WEIGHTS, "metadata": {"loss": np.float64(1.5), "step": np.int64(7)}}
    torch.save(held, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pth").read_bytes()
    name = re.search(rb"numpy\._?core\.multiarray", content)
    assert name
    (tmp_path / "a.pth").write_bytes(content.replace(name[0], f"numpy.{core}.multiarray".encode()))
    again = read_file(tmp_path / "a.pth", "X")
    assert again["metadata"] == {"loss": 1.5, "step": 7} and same(again["state_dict"], WEIGHTS)


def test_files_that_hold_something_else_are_refused_and_nothing_in_them_runs(tmp_path: Path) -> None:
    torch.save({"best": WEIGHTS}, tmp_path / "nested.th")
    torch.save(Hostile(), tmp_path / "hostile.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Hostile(), protocol=2))
    torch.save({"best": Path("a")}, tmp_path / "object.pth")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")  # what the links of some checkpoints give
    (tmp_path / "noise.bin").write_bytes(b"\xff" * 100)
    (tmp_path / "short.pt").write_bytes(b"\x80\x02X\x01\x00")  # a pickle that ends within a number
    (tmp_path / "sound.wav").write_bytes(b"RIFF" + bytes(range(100)))
    (tmp_path / "config.yml").write_text("sampling_rate: 24000\n")
    for name in ("empty.th", "empty.safetensors"):
        (tmp_path / name).touch()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DamagedError, match=path.name):
            read_weights(path, "X")
    for name, word in [
        ("hostile.pth", r"it would run (posix|nt)\._exit when it is opened, which no weights need; do not trust it$"),
        ("old.pth", r"it would run (posix|nt)\._exit when it is opened"),
        ("object.pth", r"it holds pathlib\S+ as well, .* if you trust the file, .*weights_only=False"),
        ("page.pth", "it is a web page$"),
        ("noise.bin", "it is no checkpoint of PyTorch's$"),
    ]:
        with pytest.raises(DamagedError, match=word):
            read_weights(tmp_path / name, "X")
    with pytest.raises(MissingError, match=r"no model\.safetensors or pytorch_model\.bin"):
        read_weights(tmp_path, "X")
    with pytest.raises(MissingError, match=r"no file .*none\.th; expected a file of X's weights"):
        read_weights(tmp_path / "none.th", "X")
