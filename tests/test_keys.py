"""Which weights are needed for coding."""

from __future__ import annotations

import torch
from small_pearl import small_pearl

from nacre.converters.keys import coding_keys


def test_all_but_what_codebooks_keep_for_learning() -> None:
    codec = small_pearl()
    keys = coding_keys(codec)
    left = set(codec.state_dict()) - keys
    assert left == {
        f"quantizer.levels.{k}.codebook.{name}" for k in range(3) for name in ("sums", "counts", "hits", "started")
    }
    assert {name for name, _ in codec.named_parameters()} <= keys
    assert "quantizer.levels.2.codebook.entries" in keys


def test_without_the_others_the_codec_codes_the_same() -> None:
    codec, other = small_pearl(), small_pearl(seed=1)
    other.load_state_dict({key: codec.state_dict()[key] for key in coding_keys(codec)}, strict=False)
    wave = torch.randn(1, 1, 3_200).numpy()
    assert other.encode(wave) == codec.encode(wave)
