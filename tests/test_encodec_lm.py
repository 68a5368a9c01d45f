"""encodec_lm: probabilities that add up, hear the past only, and are the package's to the last bit, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nacre.codecs.encodec_lm import PRESETS, TOTAL, EnCodecLM, EnCodecLMConfig, Past, counts
from nacre.errors import InputError

SMALL = EnCodecLMConfig(levels=3, codebook_size=16, dim=8, heads=2, layers=2, context=4)


def small() -> EnCodecLM:
    torch.manual_seed(0)
    return EnCodecLM(SMALL).eval()


@pytest.mark.parametrize(("name", "count"), [("encodec-lm-24k", 15_559_768), ("encodec-lm-48k", 8_986_584)])
def test_models_have_the_official_number_of_parameters(name: str, count: int) -> None:
    with torch.device("meta"):
        model = EnCodecLM(PRESETS[name])
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@torch.no_grad()
def test_frame_by_frame_is_all_at_once_and_hears_the_past_only() -> None:
    model, before = small(), torch.randint(17, (2, 3, 9))
    whole, past = model(before), Past()
    assert torch.allclose(whole.sum(1), torch.ones(2, 3, 9), atol=1e-5)
    parts = [model(frame, past) for frame in before.split([1, 1, 3, 4], dim=2)]
    assert past.frames == 9 and all(kept.shape == (2, 4, 8) for kept in past.inputs)
    torch.testing.assert_close(torch.cat(parts, dim=3), whole, atol=1e-5, rtol=1e-4)
    before[:, :, 5] += 1
    before[:, :, 5] %= 17
    changed = (model(before) != whole).any(dim=(0, 1, 2)).tolist()
    assert changed == [False] * 5 + [True] * 4


@given(st.lists(st.floats(-60, 60, width=32), min_size=2, max_size=1024))
def test_counts_leave_each_entry_two_and_fit(logits: list[float]) -> None:
    taken = np.diff(counts(torch.softmax(torch.tensor(logits), 0)).numpy(), prepend=0)
    assert taken.min() >= 2 and taken.sum() <= TOTAL + 4  # as in the package, floats may add up to a little too much


def test_a_predictor_begins_anew_and_knows_its_levels() -> None:
    model = small()
    first, second = model.predictor(2), model.predictor(2)
    start = first(None)
    assert start.shape == (2, 16) and start.dtype == np.int64
    after = first(np.array([3, 5]))
    assert not np.array_equal(after, start)
    assert np.array_equal(second(None), start) and np.array_equal(second(np.array([3, 5])), after)
    with pytest.raises(InputError, match="knows 1 to 3 levels, got 4"):
        model.predictor(4)
