"""Layers in ONNX Runtime: state in and out as named tensors, chunks of two sizes on one graph, torch's own values."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nacre.nn.activations import SMU, Snake
from nacre.nn.attention import CausalAttention
from nacre.nn.blocks import Chain, ConvNeXtBlock
from nacre.nn.conv import CausalConv1d, Conv1d, ConvTranspose1d
from nacre.nn.norms import ChannelNorm, L2Norm
from nacre.nn.padding import Kernel
from nacre.nn.recurrent import SkipLSTM
from nacre.nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from nacre.nn.spectral import CausalISTFT, CausalSTFT, LogMel, MelScale, PQMFAnalysis, PQMFSynthesis
from nacre.nn.state import State

SEANET = SEANetConfig(dim=4, filters=2, strides=(2, 3), dilations=((1, 3), (1,)), lstm=1, pad="zero", norm="none")

# layer, channels in, positions that fill a frame
LAYERS: dict[str, tuple[nn.Module, int, int]] = {
    "conv": (CausalConv1d(2, 3, 5, dilation=2), 2, 1),
    "strided": (CausalConv1d(2, 4, 8, stride=4, groups=2), 2, 4),
    "repeated": (Conv1d(2, 3, Kernel(4, 2), "replicate"), 2, 2),
    "early": (Conv1d(2, 3, Kernel(6, 3).early()), 2, 3),
    "transposed": (ConvTranspose1d(2, 3, Kernel(8, 4)), 2, 1),
    "replicated": (ConvTranspose1d(2, 3, Kernel(8, 4), "replicate"), 2, 1),
    "stft": (CausalSTFT(32, 8), 1, 8),
    "istft": (CausalISTFT(32, 8), 34, 1),
    "mel": (LogMel(MelScale(16_000, 64, 16, 8)), 1, 16),
    "pqmf analysis": (PQMFAnalysis(4, 24), 1, 4),
    "pqmf synthesis": (PQMFSynthesis(4, 24), 4, 1),
    "convnext": (ConvNeXtBlock(4, 8, grn_window=3), 4, 1),
    "activations": (Chain(nn.ELU(), Snake(3), SMU(), ChannelNorm(3), L2Norm()), 3, 1),
    "lstm": (SkipLSTM(4), 4, 1),
    "attention": (CausalAttention(4, 2, context=16), 4, 1),
    "seanet encoder": (SEANetEncoder(SEANET), 1, 6),
    "seanet decoder": (SEANetDecoder(SEANET), 4, 1),
}


class Graph(nn.Module):
    """(x, *state) -> (y, *state), as converters write it."""

    def __init__(self, layer: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.layer, self.layout = layer, State()
        self.layout.in_graph = True
        layer(example, self.layout)

    def forward(self, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        state = self.layout.filled(tensors)
        return self.layer(x, state), *state.tensors()


def exported(graph: Graph, x: Tensor) -> onnxruntime.InferenceSession:
    names, file = graph.layout.names(graph), io.BytesIO()
    inputs, outputs = ["x", *(f"state.{n}" for n in names)], ["y", *(f"next.{n}" for n in names)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every shape it fixes and of its own retirement
        torch.onnx.export(
            graph,
            (x, *(torch.zeros_like(t) for t in graph.layout.tensors())),
            file,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={"x": {2: "length"}, "y": {2: "length_out"}},
            opset_version=17,
            dynamo=False,
        )
    return onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", LAYERS)
def test_a_graph_fed_with_its_own_state_equals_torch_on_the_whole(name: str) -> None:
    layer, channels, unit = LAYERS[name]
    torch.manual_seed(0)
    for parameter in layer.eval().requires_grad_(False).parameters():
        nn.init.normal_(parameter, std=0.3)
    chunks = [n * unit for n in (3, 1, 5, 1)]
    x = torch.randn(1, channels, sum(chunks))
    graph = Graph(layer, x[..., :unit])
    session = exported(graph, x[..., : chunks[0]])
    outputs = [o.name for o in session.get_outputs()]
    held = {
        f"state.{n}": np.zeros_like(t) for n, t in zip(graph.layout.names(graph), graph.layout.tensors(), strict=True)
    }
    parts = []
    for piece in x.split(chunks, dim=-1):
        result = dict(zip(outputs, session.run(None, {"x": piece.numpy(), **held}), strict=True))
        parts.append(result.pop("y"))
        held = {key.replace("next.", "state."): value for key, value in result.items()}
    torch.testing.assert_close(torch.from_numpy(np.concatenate(parts, axis=2)), layer(x), atol=2e-5, rtol=1e-4)
