"""What is held neither moves nor learns, and lets gradients through."""

from __future__ import annotations

import torch
from small_encodec import CONFIG
from small_run import small_recipe
from torch import nn

from nacre.codecs.encodec import EnCodec
from nacre.training.holding import hold


def test_held_parts_stay_and_pass_gradients_on() -> None:
    torch.manual_seed(0)
    codec = hold(small_recipe().build().train(), ["quantizer", "decoder"])
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    optimizer = torch.optim.AdamW(codec.parameters(), 0.1, weight_decay=0.1)
    wave = torch.randn(2, 1, 800)
    (codec(wave).wave - wave).square().mean().backward()
    optimizer.step()
    same = {name: torch.equal(value, before[name]) for name, value in codec.state_dict().items()}
    assert all(kept for name, kept in same.items() if not name.startswith("encoder."))
    assert not all(kept for name, kept in same.items() if name.startswith("encoder."))
    assert codec.encoder.training and not codec.decoder.training


def test_held_recurrent_layers_let_gradients_through_on_a_gpu_too() -> None:
    """cuDNN refuses a backward pass in evaluation mode; the values are the same without dropout."""
    codec = hold(EnCodec(CONFIG).train(), ["decoder"])
    layers = [layer for layer in codec.decoder.modules() if isinstance(layer, nn.LSTM)]
    assert layers and all(layer.training and not layer.dropout for layer in layers)
    assert not any(part.training for part in codec.decoder.modules() if not isinstance(part, nn.RNNBase))
