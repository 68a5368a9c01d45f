"""The balancer: shares of the gradient are what the weights say, whatever the losses weigh themselves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nacre.errors import InputError
from nacre.training.balancer import Balancer, BalancerConfig


def gradient_of(balancer: Balancer, losses: dict[str, Tensor], output: Tensor) -> Tensor:
    output.grad = None
    balancer.backward(losses, output)
    assert output.grad is not None
    return output.grad.clone()


def test_equal_weights_share_equally_when_norms_differ_a_thousandfold() -> None:
    """One loss pulls on the first half of each item, the other a thousand times harder on the second."""
    output = torch.randn(4, 1, 8, requires_grad=True)
    losses = {"weak": output[..., :4].sum(), "strong": 1000 * output[..., 4:].sum()}
    balancer = Balancer(BalancerConfig({"weak": 1, "strong": 1}))
    figures = balancer.backward(losses, output)
    assert output.grad is not None
    halves = output.grad.flatten(1).unflatten(1, (2, 4)).norm(dim=2)
    assert torch.equal(halves[:, 0], halves[:, 1])
    torch.testing.assert_close(halves, torch.full((4, 2), 0.5))
    assert figures["norm/weak"].item() == pytest.approx(2)
    assert figures["norm/strong"].item() == pytest.approx(2000)
    assert figures["share/strong"].item() == pytest.approx(1000 / 1001)


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.floats(1e-4, 1e4)), min_size=1, max_size=4),
    st.booleans(),
    st.floats(0.1, 10),
)
def test_each_loss_gets_its_weight_and_nothing_else_counts(
    parts: list[tuple[float, float]], normalised: bool, total: float
) -> None:
    """Loss i pulls along axis i only, so that its share can be read off the gradient."""
    output = torch.zeros(1, 1, len(parts), requires_grad=True)
    weights = {str(i): weight for i, (weight, _) in enumerate(parts)}
    losses = {str(i): size * output[0, 0, i] for i, (_, size) in enumerate(parts)}
    balancer = Balancer(BalancerConfig(weights, total=total, normalised=normalised))
    gradient = gradient_of(balancer, losses, output).flatten()
    whole = sum(weights.values()) if normalised else 1
    expected = [total * weight / whole for weight in weights.values()]
    assert gradient.tolist() == pytest.approx(expected, rel=1e-4)


def test_norms_are_averaged_over_steps_from_the_first() -> None:
    """Bias-corrected: the average of norms 1 and 3 with decay a half is (0.5 * 1 + 3) / (0.5 + 1)."""
    balancer = Balancer(BalancerConfig({"a": 1}, decay=0.5))
    output = torch.zeros(1, 1, 1, requires_grad=True)
    assert gradient_of(balancer, {"a": output.sum()}, output).item() == pytest.approx(1)
    assert gradient_of(balancer, {"a": 3 * output.sum()}, output).item() == pytest.approx(3 / (3.5 / 1.5))


def test_items_are_measured_one_by_one_or_together() -> None:
    slopes = torch.tensor([3.0, 4.0])[:, None, None]
    for per_item, norm in ((True, 3.5), (False, 5.0)):
        output = torch.zeros(2, 1, 1, requires_grad=True)
        balancer = Balancer(BalancerConfig({"a": 1}, per_item=per_item))
        figures = balancer.backward({"a": (slopes * output).sum()}, output)
        assert figures["norm/a"].item() == pytest.approx(norm)


def test_a_loss_that_stays_away_leaves_its_share_to_the_others() -> None:
    balancer = Balancer(BalancerConfig({"mel": 1, "adversarial": 3}))
    output = torch.zeros(1, 1, 2, requires_grad=True)
    assert gradient_of(balancer, {"mel": 7 * output[..., 0].sum()}, output).flatten().tolist() == [1, 0]
    both = {"adversarial": output[..., 1].sum(), "mel": 7 * output[..., 0].sum()}
    assert gradient_of(balancer, both, output).flatten().tolist() == pytest.approx([0.25, 0.75])


def test_a_loss_without_gradient_is_harmless() -> None:
    balancer = Balancer(BalancerConfig({"a": 1, "b": 1}))
    output = torch.ones(1, 1, 2, requires_grad=True)
    gradient = gradient_of(balancer, {"a": 0 * output.sum(), "b": output[..., 0].sum()}, output)
    assert gradient.flatten().tolist() == pytest.approx([0.5, 0])


def test_losses_that_share_layers_and_one_beside_reach_the_model_in_one_pass() -> None:
    model, judge = torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 2)
    z = torch.randn(4, 1, 3)
    passes: list[int] = []
    model.weight.register_hook(lambda gradient: passes.append(1))

    def losses(output: Tensor) -> dict[str, Tensor]:
        heard = judge(output).tanh()  # both losses need what the graph keeps here
        return {"a": heard[..., 0].sum(), "b": heard[..., 1].square().sum()}

    output = model(z)
    slopes = [torch.autograd.grad(loss, output)[0] for name in "ab" for loss in [losses(output)[name]]]
    units = [slope / slope.flatten(1).norm(dim=1).mean() for slope in slopes]
    expected = torch.einsum("boi,bok->ik", units[0] / 3 + 2 * units[1] / 3, z) + 2 * model.weight.detach()

    Balancer(BalancerConfig({"a": 1, "b": 2})).backward(losses(output), output, beside=model.weight.square().sum())
    assert len(passes) == 1
    assert judge.weight.grad is None
    assert model.weight.grad is not None
    torch.testing.assert_close(model.weight.grad, expected)


def test_a_loss_beside_that_nothing_learns_from_is_left_out() -> None:
    """Commitment of an encoder that is held."""
    output = torch.randn(2, 1, 8, requires_grad=True)
    Balancer(BalancerConfig({"one": 1})).backward({"one": output.sum()}, output, torch.tensor(3.0))
    assert output.grad is not None and output.grad.norm() > 0


def test_a_gradient_scaler_scales_the_gradient_and_not_the_norms() -> None:
    output = torch.randn(2, 1, 3, requires_grad=True)
    plain, scaled = (Balancer(BalancerConfig({"a": 1})) for _ in range(2))
    gradient = gradient_of(plain, {"a": output.square().sum()}, output)
    output.grad = None
    figures = scaled.backward({"a": output.square().sum()}, output, output.square().sum(), torch.tensor(1024.0))
    assert output.grad is not None
    torch.testing.assert_close(output.grad, 1024 * (gradient + 2 * output.detach()))
    torch.testing.assert_close(figures["norm/a"], plain.sums[0])


def test_a_step_that_overflows_leaves_no_trace() -> None:
    balancer = Balancer(BalancerConfig({"a": 1, "b": 1}))
    output = torch.ones(1, 1, 2, requires_grad=True)
    fine = {"a": output[..., 0].sum(), "b": output[..., 1].sum()}
    before = gradient_of(balancer, fine, output)
    gradient_of(balancer, fine | {"a": float("inf") * output[..., 0].sum()}, output)
    assert torch.equal(gradient_of(balancer, fine, output), before)
    assert balancer.sums.isfinite().all()


def test_a_resumed_balancer_goes_on_as_if_never_stopped() -> None:
    output = torch.randn(2, 1, 3, requires_grad=True)
    balancer, resumed = (Balancer(BalancerConfig({"a": 1, "b": 1})) for _ in range(2))
    gradient_of(balancer, {"a": output.square().sum(), "b": output.abs().sum()}, output)
    resumed.load_state_dict(balancer.state_dict())
    then = [gradient_of(b, {"a": 5 * output.sum(), "b": output.square().sum()}, output) for b in (balancer, resumed)]
    assert torch.equal(*then)


def test_what_does_not_fit_is_refused() -> None:
    output = torch.zeros(1, 1, 1, requires_grad=True)
    with pytest.raises(InputError, match=r"weight above zero.*'b': 0"):
        Balancer(BalancerConfig({"a": 1, "b": 0}))
    balancer = Balancer(BalancerConfig({"a": 1}))
    with pytest.raises(InputError, match="expected some of the losses a, got c"):
        balancer.backward({"a": output.sum(), "c": output.sum()}, output)
    with pytest.raises(InputError, match="got none"):
        balancer.backward({}, output)
    for stray in (torch.ones(()), torch.ones(1, requires_grad=True).sum()):
        with pytest.raises(InputError, match="depend on the output"):
            balancer.backward({"a": stray}, output)


def work(rank: int, meeting: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", timeout=timedelta(seconds=30), rank=rank, world_size=2)
    balancer = Balancer(BalancerConfig({"a": 1, "b": 1}))
    output = torch.zeros(1, 1, 2, requires_grad=True)
    figures = balancer.backward({"a": (1 + 2 * rank) * output[..., 0].sum(), "b": output[..., 1].sum()}, output)
    assert figures["norm/a"].item() == 2  # the mean of 1 and 3
    assert output.grad is not None
    assert output.grad.flatten().tolist() == [0.5 * (1 + 2 * rank) / 2, 0.5]
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs torch with gloo")
def test_two_processes_go_by_the_mean_of_their_norms(tmp_path: Path) -> None:
    mp.spawn(work, (str(tmp_path / "meeting"),), nprocs=2)
