from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nacre.codes import CodecInfo, Codes
from nacre.errors import InputError
from nacre.evaluation.codebooks import codebook_use

INFO = CodecInfo("test", "", 8000, 1, 80, (4, 8), strides=(2, 1))


def say(coarse: list[int], fine: list[int], lost: list[bool] | None = None) -> Codes:
    marks = None if lost is None else np.array(lost)
    return Codes((np.array([coarse]), np.array([fine])), 80 * len(fine), INFO, lost=marks)


def test_counts_run_over_all_codes() -> None:
    first, second = codebook_use([say([0, 1], [0, 1, 2, 3]), say([1, 0], [4, 5, 6, 7])])
    assert (first.size, first.used, first.codes) == (4, 0.5, 4)
    assert (first.entropy, first.perplexity) == pytest.approx((1.0, 2.0))
    assert (second.used, second.entropy, second.perplexity, second.codes) == pytest.approx((1.0, 3.0, 8.0, 8))


def test_uneven_use_has_its_entropy() -> None:
    _, fine = codebook_use([say([0, 0], [0, 0, 0, 1])])
    assert fine.entropy == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * 2)
    assert fine.perplexity == pytest.approx(2**fine.entropy)


def test_one_entry_said_all_the_time_says_nothing() -> None:
    coarse, _ = codebook_use([say([3, 3], [0, 1, 2, 3])])
    assert (coarse.used, coarse.entropy, coarse.perplexity) == (0.25, 0.0, 1.0)


def test_lost_frames_are_not_counted() -> None:
    coarse, fine = codebook_use([say([0, 1], [1, 1, 2, 3], lost=[False, False, True, True])])
    assert (coarse.codes, coarse.used, fine.codes, fine.used) == (1, 0.25, 2, 0.125)


def test_absent_levels_have_no_use() -> None:
    both = say([0, 1], [0, 1, 2, 3])
    coarse, fine = codebook_use([replace(both, levels=both.levels[:1])])
    assert (coarse.codes, fine.codes, fine.used, fine.perplexity) == (2, 0, 0.0, 0.0)


def test_two_codecs_are_not_mixed() -> None:
    other = replace(INFO, codebook_sizes=(4, 16))
    stranger = Codes((np.array([[0]]), np.array([[0, 1]])), 160, other)
    with pytest.raises(InputError, match="codes of one codec"):
        codebook_use([say([0, 1], [0, 1, 2, 3]), stranger])
    assert codebook_use([]) == ()
