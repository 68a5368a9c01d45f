"""foreign: files that run nothing, names found and each used once, weight norm in every spelling, and the way back."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nacre import DamagedError, MissingError
from nacre.converters.foreign import as_weights, fill, handed_back, names, read_checkpoint
from nacre.nn.weight_norm import fuse, normalise
from nacre.quantizers.codebook import Codebook, CodebookConfig

HERE = Path("given.pth")
TABLE = {"0": "front.conv", "1": "book"}
LEAVES = {"entries": "embedding.weight"}


def model() -> nn.Sequential:
    torch.manual_seed(0)
    book = Codebook(4, 3, CodebookConfig(ema=False))
    return nn.Sequential(normalise(nn.Conv1d(2, 3, 5)), book)


def theirs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    shapes = {"front.conv.weight_g": (3, 1, 1), "front.conv.weight_v": (3, 2, 5), "front.conv.bias": (3,)}
    return {key: torch.randn(shape) for key, shape in (shapes | {"book.embedding.weight": (4, 3)}).items()}


class Hostile:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (1,))


def test_names_follow_the_table_and_what_is_learnt_stays_out() -> None:
    found = names(model(), TABLE, LEAVES)
    assert set(found.values()) == set(theirs())
    assert found["0.parametrizations.weight.original0"] == "front.conv.weight_g"
    assert found["1.entries"] == "book.embedding.weight"
    assert "1.counts" in names(model(), TABLE, LEAVES | {"counts": "cluster_size"})


def test_filled_weights_come_back_bit_for_bit() -> None:
    ours, given = model(), theirs()
    found = names(ours, TABLE, LEAVES)
    fill(ours, given, found, HERE)
    assert torch.equal(ours[1].entries, given["book.embedding.weight"])  # type: ignore[arg-type]
    back = handed_back(ours, found)
    assert back.keys() == given.keys() and all(torch.equal(back[key], given[key]) for key in given)


def test_fused_weights_come_back_as_size_and_direction() -> None:
    ours, again = model(), model()
    found = names(ours, TABLE, LEAVES)
    fill(ours, theirs(), found, HERE)
    fill(again, handed_back(fuse(ours), found), found, HERE)
    torch.testing.assert_close(again[0].weight, ours[0].weight)


def test_a_file_whose_weight_norm_was_removed_fits_too() -> None:
    given, ours = theirs(), model()
    size, direction = given.pop("front.conv.weight_g"), given.pop("front.conv.weight_v")
    plain = size * direction / direction.flatten(1).norm(dim=1)[:, None, None]
    fill(ours, given | {"front.conv.weight": plain}, names(ours, TABLE, LEAVES), HERE)
    torch.testing.assert_close(ours[0].weight, plain)


@pytest.mark.parametrize("change", ["drop", "add", "shape"])
def test_what_does_not_fit_is_refused(change: str) -> None:
    ours, given = model(), theirs()
    if change == "drop":
        del given["front.conv.bias"]
    elif change == "add":
        given["back.conv.bias"] = torch.zeros(3)
    else:
        given["front.conv.bias"] = torch.zeros(4)
    word = r"should have shape \[3\], got \[4\]" if change == "shape" else r"conv\.bias missing or too many"
    with pytest.raises(DamagedError, match=word):
        fill(ours, given, names(ours, TABLE, LEAVES), HERE)


def test_every_spelling_is_the_old_one() -> None:
    given = theirs()
    new = {
        f"module.{key}".replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): tensor
        for key, tensor in given.items()
    }
    assert as_weights(new, HERE).keys() == given.keys()
    with pytest.raises(DamagedError, match="twice"):
        as_weights(given | new, HERE)
    for wrong in ([1], {"a": 1}, None):
        with pytest.raises(DamagedError, match="expected a state dict"):
            as_weights(wrong, HERE)


def test_files_are_read_and_nothing_in_them_runs(tmp_path: Path) -> None:
    torch.save({"deep": {"down": torch.ones(2)}}, tmp_path / "plain.pth")
    save_file({"a": torch.ones(2)}, tmp_path / "plain.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "plain.pth")["deep"]["down"], torch.ones(2))
    assert torch.equal(read_checkpoint(tmp_path / "plain.safetensors")["a"], torch.ones(2))
    torch.save(Hostile(), tmp_path / "hostile.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Hostile(), protocol=2))
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")  # what the links of some checkpoints give
    (tmp_path / "empty.safetensors").touch()
    for name in ("hostile.pth", "old.pth", "page.pth", "empty.safetensors"):
        with pytest.raises(DamagedError, match=name):
            read_checkpoint(tmp_path / name)
    with pytest.raises(MissingError, match="no file"):
        read_checkpoint(tmp_path / "none.pth")
