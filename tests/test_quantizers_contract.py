"""What every quantizer promises, on all of them: one path, prefixes, batches, precision, state and ONNX graphs."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nacre.quantizers.base import Quantizer
from nacre.quantizers.codebook import CodebookConfig
from nacre.quantizers.fsq import FSQ
from nacre.quantizers.grvq import GroupResidualVQ
from nacre.quantizers.lfq import LFQ, LFQConfig
from nacre.quantizers.msrvq import MultiScaleVQ, MultiScaleVQConfig
from nacre.quantizers.rvq import ResidualVQ, ResidualVQConfig
from nacre.quantizers.split import SplitVQ

DAC = CodebookConfig(ema=False, normalised=True)
MAKE = {
    "rvq": lambda: ResidualVQ(ResidualVQConfig(8, (16, 32, 16))),
    "rvq-factorised": lambda: ResidualVQ(ResidualVQConfig(8, (16, 32, 16), code_dim=3, codebook=DAC)),
    "rvq-shared": lambda: ResidualVQ(ResidualVQConfig(8, (16, 32, 16), code_dim=3, shared=True)),
    "split": lambda: SplitVQ(ResidualVQConfig(8, (16,)), ResidualVQConfig(8, (32, 16), code_dim=3, shared=True)),
    "grvq": lambda: GroupResidualVQ(ResidualVQConfig(8, (16, 32)), (6, 2)),
    "msrvq": lambda: MultiScaleVQ(MultiScaleVQConfig(8, (16, 32, 16), code_dim=3, codebook=DAC, strides=(4, 2, 1))),
    "fsq": lambda: FSQ(4, (8, 5, 5, 4)),
    "fsq-projected": lambda: FSQ(8, (8, 5, 5, 4)),
    "lfq": lambda: LFQ(LFQConfig(8, 8)),
    "lfq-projected": lambda: LFQ(LFQConfig(8, 18)),
}


def latents(quantizer: Quantizer, batch: int, frames: int) -> Tensor:
    dim = 4 if isinstance(quantizer, FSQ) and quantizer.dim == 4 else 8
    return torch.randn(batch, dim, frames)


@pytest.fixture(params=MAKE, ids=str)
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    """Trained for three steps, then set to evaluate."""
    torch.manual_seed(0)
    made = MAKE[request.param]()
    for _ in range(3):
        made(latents(made, 4, 40))
    return made.eval()


def equal(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_forward_is_encode_then_decode(quantizer: Quantizer) -> None:
    z = latents(quantizer, 3, 24)
    output, levels = quantizer(z), quantizer.encode(z)
    assert equal(output.levels, levels)
    torch.testing.assert_close(output.z, quantizer.decode(levels), atol=1e-6, rtol=0)
    assert output.commitment.shape == output.codebook.shape == ()


def test_levels_fit_their_sizes_and_strides(quantizer: Quantizer) -> None:
    levels = quantizer.encode(latents(quantizer, 3, 24))
    assert [level.shape for level in levels] == [(3, 24 // stride) for stride in quantizer.strides]
    for level, size in zip(levels, quantizer.codebook_sizes, strict=True):
        assert level.dtype == torch.int64
        assert 0 <= int(level.min()) <= int(level.max()) < size


def test_fewer_levels_are_the_first_ones(quantizer: Quantizer) -> None:
    z = latents(quantizer, 3, 24)
    levels = quantizer.encode(z)
    for count in range(1, len(levels) + 1):
        assert equal(quantizer.encode(z, count), levels[:count])
        assert quantizer.decode(levels[:count]).shape == z.shape


def test_items_and_frames_do_not_hear_each_other(quantizer: Quantizer) -> None:
    z = latents(quantizer, 5, 200)
    levels = quantizer.encode(z)
    for item in range(5):
        assert equal(quantizer.encode(z[item : item + 1]), [level[item : item + 1] for level in levels])
    pieces = [quantizer.encode(z[:, :, i : i + 4]) for i in range(0, 200, 4)]
    assert equal([torch.cat(level, dim=1) for level in zip(*pieces, strict=True)], levels)


def test_every_valid_code_decodes_the_same_every_time(quantizer: Quantizer) -> None:
    levels = [torch.randint(n, (2, 12 // s)) for n, s in zip(quantizer.codebook_sizes, quantizer.strides, strict=True)]
    z = quantizer.decode(levels)
    assert z.isfinite().all()
    assert torch.equal(quantizer.decode(levels), z)


def test_autocast_changes_nothing(quantizer: Quantizer) -> None:
    z = latents(quantizer, 2, 24)
    expected = quantizer(z)
    with torch.autocast("cpu", torch.bfloat16):
        output, levels = quantizer(z), quantizer.encode(z)
        decoded = quantizer.decode(levels)
    assert equal(output.levels, expected.levels)
    assert equal(levels, expected.levels)
    assert torch.equal(output.z, expected.z)
    torch.testing.assert_close(decoded, expected.z, atol=1e-6, rtol=0)


def test_gradients_reach_the_latents_and_every_parameter(quantizer: Quantizer) -> None:
    z = latents(quantizer.train(), 2, 40).requires_grad_()
    output = quantizer(z)
    (output.z.square().mean() + output.commitment + output.codebook).backward()
    assert z.grad is not None
    assert (z.grad != 0).any(1).all()
    assert all(parameter.grad is not None for parameter in quantizer.parameters())


def test_a_saved_quantizer_says_the_same(quantizer: Quantizer, request: pytest.FixtureRequest) -> None:
    file = io.BytesIO()
    torch.save(quantizer.state_dict(), file)
    file.seek(0)
    other = MAKE[request.node.callspec.params["quantizer"]]().eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    z = latents(quantizer, 2, 24)
    assert equal(other.encode(z), quantizer.encode(z))
    assert torch.equal(other(z).z, quantizer(z).z)


class Encode(nn.Module):
    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        return self.quantizer.encode(z)


class Decode(Encode):
    def forward(self, *levels: Tensor) -> Tensor:
        return self.quantizer.decode(levels)


def session(model: nn.Module, inputs: tuple[Tensor, ...], dynamo: bool) -> onnxruntime.InferenceSession:
    file = io.BytesIO()
    names = [f"in_{i}" for i in range(len(inputs))]
    time = inputs[0].ndim - 1
    if dynamo:
        each = tuple(dict.fromkeys((0, time), torch.export.Dim.DYNAMIC) for _ in inputs)
        shapes = (each,) if isinstance(model, Decode) else each
        program = torch.onnx.export(model, inputs, dynamo=True, input_names=names, dynamic_shapes=shapes, verbose=False)
        file.write(program.model_proto.SerializeToString())
    else:
        axes = {name: {0: "batch", time: f"frames_{name}"} for name in names}
        torch.onnx.export(model, inputs, file, dynamo=False, input_names=names, dynamic_axes=axes)
    return onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_exported_graph_says_the_same(quantizer: Quantizer, dynamo: bool) -> None:
    small, z = latents(quantizer, 2, 8), latents(quantizer, 3, 60)
    encode = session(Encode(quantizer).eval(), (small,), dynamo)
    levels = encode.run(None, {"in_0": z.numpy()})
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(levels, quantizer.encode(z), strict=True))
    decode = session(Decode(quantizer).eval(), quantizer.encode(small), dynamo)
    (out,) = decode.run(None, {f"in_{i}": level for i, level in enumerate(levels)})
    expected = quantizer.decode([torch.from_numpy(level) for level in levels]).detach().numpy()
    if any(isinstance(module, nn.Conv1d) for module in quantizer.modules()):
        np.testing.assert_allclose(out, expected, atol=2e-6, rtol=0)  # a convolution may add in another order
    else:
        assert np.array_equal(out, expected)
