"""snakenet: stages that stream, channels that stay apart."""

from __future__ import annotations

import pytest
import torch
from chunking import assert_streams

from nacre.nn.blocks import Chain
from nacre.nn.conv import Conv1d
from nacre.nn.snakenet import descent


@pytest.mark.parametrize("depthwise", [False, True])
def test_stages_stream_and_depthwise_ones_keep_channels_apart(depthwise: bool) -> None:
    net = Chain(*descent(2, (2, 3), depthwise)).requires_grad_(False)
    wide = [layer for layer in net.modules() if isinstance(layer, Conv1d) and layer.kernel.size == 7]
    assert [layer.groups for layer in wide[1:]] == [layer.in_channels if depthwise else 1 for layer in wide[1:]]
    x = torch.randn(2, 1, 600)
    assert net(x).shape == (2, 8, 100)
    assert_streams(net, x, [1, 0, 254, 45, 300])
