"""weight norm: either spelling loads into either kind of layer, and fusing changes nothing to hear."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nacre.nn.conv import CausalConv1d, Conv1d, ConvTranspose1d
from nacre.nn.padding import Kernel
from nacre.nn.weight_norm import NEW, OLD, fuse, normalise, taken_apart


def conv() -> Conv1d:
    return CausalConv1d(2, 3, 5)


def transposed() -> ConvTranspose1d:
    return ConvTranspose1d(3, 2, Kernel(4, 2))


@pytest.mark.parametrize("make", [conv, transposed])
@pytest.mark.parametrize("spelling", [OLD, NEW, ("weight",)])
@pytest.mark.parametrize("normalised", [False, True])
def test_every_spelling_loads_into_every_layer(make: object, spelling: tuple[str, ...], normalised: bool) -> None:
    layer = make()  # type: ignore[operator]
    g, v, bias = (
        torch.rand(3, 1, 1) + 0.5,
        torch.randn_like(layer.weight),
        torch.randn_like(layer.bias),
    )
    weight = v * g / v.flatten(1).norm(dim=1).reshape(-1, 1, 1)
    held = dict(zip(spelling, (g, v) if len(spelling) == 2 else (weight,), strict=True))
    if normalised:
        normalise(layer)
    layer.load_state_dict(held | {"bias": bias})
    torch.testing.assert_close(layer.weight.detach(), weight)
    assert set(held) | {"bias"} == {*spelling, "bias"}, "the caller's dict is left as it was"


def test_the_official_hook_agrees() -> None:
    """torch's own old hook wrote the checkpoints that we read."""
    with pytest.warns(FutureWarning):
        theirs = nn.utils.weight_norm(nn.Conv1d(2, 3, 5))
    with torch.no_grad():
        theirs.weight_g.mul_(1.7)
    ours = conv()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 2, 9)
    torch.testing.assert_close(ours(x)[..., 4:], theirs(x))


def test_fusing_keeps_the_sound_and_drops_the_parameters() -> None:
    model, x = nn.Sequential(conv(), transposed()), torch.randn(1, 2, 8)
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = model(x)
    normalise(normalise(model))
    torch.testing.assert_close(model(x), before)
    assert sum(p.numel() for p in model.parameters()) == sum(t.numel() for t in plain.values()) + 3 + 3
    fuse(model)
    torch.testing.assert_close(dict(model.state_dict()), plain)
    assert isinstance(model[0], CausalConv1d)


def test_size_and_direction_learn_apart() -> None:
    layer = normalise(conv())
    layer(torch.randn(1, 2, 9)).square().sum().backward()
    g, v = (layer.get_parameter(name) for name in NEW)
    assert g.shape == (3, 1, 1)
    assert isinstance(v.grad, Tensor) and isinstance(g.grad, Tensor)
    torch.testing.assert_close((v.grad * v).sum(dim=(1, 2)), torch.zeros(3), atol=1e-4, rtol=0)  # no pull along v


def test_a_missing_half_is_reported() -> None:
    with pytest.raises(RuntimeError, match="weight"):
        conv().load_state_dict({"weight_v": torch.zeros(3, 2, 5), "bias": torch.zeros(3)})


def test_fusing_a_copy_leaves_the_original_as_it_was() -> None:
    layer, x = normalise(nn.Conv1d(2, 3, 3)), torch.randn(1, 2, 9)
    before = layer(x)
    plain = fuse(copy.deepcopy(layer))
    torch.testing.assert_close(plain(x), before)
    assert torch.equal(layer(x), before)
    assert NEW[0] in layer.state_dict() and set(plain.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("make", [conv, transposed])
def test_a_row_of_zeros_stays_one(make: object) -> None:
    """A dead channel has no direction, and 0 / 0 is no weight."""
    layer = make()  # type: ignore[operator]
    weight = torch.randn_like(layer.weight)
    weight[1] = 0
    normalise(layer)
    layer.load_state_dict({"weight": weight, "bias": layer.bias.detach()})
    torch.testing.assert_close(layer.weight.detach(), weight)
    size, direction = taken_apart(weight)
    plain = make()  # type: ignore[operator]
    plain.load_state_dict({OLD[0]: size, OLD[1]: torch.zeros_like(direction), "bias": layer.bias.detach()})
    assert not plain.weight.any()
