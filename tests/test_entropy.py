"""entropy: bit-exact by construction, proven with a second decoder in plain integer arithmetic."""

from __future__ import annotations

import time
from bisect import bisect_right
from itertools import accumulate

import constriction
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_codes import HAC, ODD, PEARL, SNAC, infos, random_codes

from nacre.codes import CodecInfo
from nacre.container import entropy, priors
from nacre.errors import DamagedError


class PlainDecoder:
    """The range decoder of docs/format.md, written out."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data + bytes(64), 8
        self.low, self.range, self.point = 0, 2**64 - 1, int.from_bytes(self.data[:8], "big")

    def symbol(self, sums: list[int]) -> int:
        scale = self.range >> 24
        quantile = (self.point - self.low) % 2**64 // scale
        assert quantile < 2**24
        symbol = bisect_right(sums, quantile) - 1
        self.low = (self.low + scale * sums[symbol]) % 2**64
        self.range = scale * (sums[symbol + 1] - sums[symbol])
        if self.range < 2**32:
            word = int.from_bytes(self.data[self.at : self.at + 4].ljust(4, b"\0"), "big")
            self.low, self.range = self.low * 2**32 % 2**64, self.range * 2**32
            self.point, self.at = self.point * 2**32 % 2**64 + word, self.at + 4
        return symbol


def plain_sums(counts: list[int]) -> list[int]:
    total, free = sum(counts), 2**24 - len(counts)
    return [part * free // total + i for i, part in enumerate(accumulate(counts, initial=0))]


def plain_decode(data: bytes, info: CodecInfo, frames: list[int]) -> list[list[int]]:
    coder = PlainDecoder(data)
    shifts = [max(0, bits - 12) for bits in info.bits]
    counts = [[64] * -(-size // 2**shift) for size, shift in zip(info.codebook_sizes, shifts, strict=True)]
    steps = [sum(each) // 100 + 1 for each in counts]
    levels: list[list[int]] = [[] for _ in frames]
    while any(len(level) < count for level, count in zip(levels, frames, strict=True)):
        for k, level in enumerate(levels):
            size = min(max(8, -(-frames[k] // 16)), frames[k] - len(level))
            sums = plain_sums(counts[k]) if size else []
            upper = [coder.symbol(sums) for _ in range(size)]
            even = [i << 24 - shifts[k] for i in range(2 ** shifts[k] + 1)]
            lower = [coder.symbol(even) for _ in range(size)] if shifts[k] else [0] * size
            level += [(a << shifts[k]) + b for a, b in zip(upper, lower, strict=True)]
            for symbol in upper:
                counts[k][symbol] += steps[k]
    return levels


SMALL = CodecInfo("small", "", 8000, 1, 100, (5, 3, 1 << 14, 5000), (1, 2, 1, 2))


@pytest.mark.parametrize("calm", [1, 5, 60])
def test_the_specification_alone_decodes_what_constriction_encodes(calm: int) -> None:
    codes = random_codes(SMALL, 4, 180, calm=calm)
    data = entropy.encode(codes.levels, SMALL, priors.tables(SMALL))
    assert plain_decode(data, SMALL, [180, 90, 180, 90]) == [level[0].tolist() for level in codes.levels]


COUNTS = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 1 << 30)), min_size=2, max_size=60).filter(any)


@given(COUNTS, st.data())
@example([0, 1], None)
@example([1 << 38, 0, 0], None)
@example([0] * 4095 + [1], None)
def test_models_are_whole_numbers_and_constriction_uses_just_these(
    counts: list[int], data: st.DataObject | None
) -> None:
    found = entropy.frequencies(np.array(counts))
    sums = plain_sums(counts)
    assert found.tolist() == np.diff(sums).tolist()
    assert found.min() >= 1
    assert found.sum() == 2**24
    symbols = (
        [0, len(counts) - 1] if data is None else data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=30))
    )
    coder = constriction.stream.queue.RangeEncoder()
    model = constriction.stream.model.Categorical((found - 1).astype(np.float64), perfect=False)
    coder.encode(np.array(symbols, np.int32), model)
    plain = PlainDecoder(coder.get_compressed().astype(">u4").tobytes())
    assert [plain.symbol(sums) for _ in symbols] == symbols


@settings(max_examples=60)
@given(infos(), st.integers(1, 150), st.sampled_from([1, 7, 1000]), st.integers(0, 99))
def test_codes_come_back(info: CodecInfo, frames: int, calm: int, seed: int) -> None:
    codes = random_codes(info, info.levels, frames, seed=seed, calm=calm)
    tables = priors.tables(info)
    data = entropy.encode(codes.levels, info, tables)
    counts = [level.shape[1] for level in codes.levels]
    back = entropy.decode(data, counts, info, tables)
    assert all(np.array_equal(a, b) for a, b in zip(codes.levels, back, strict=True))
    assert len(data) == 1 or data[-1] != 0


def test_codes_that_stay_cost_little_and_random_ones_hardly_more_than_raw() -> None:
    for info in (PEARL, SNAC, HAC, ODD):
        tables = priors.tables(info)
        noisy, calm = (random_codes(info, info.levels, 96, calm=calm) for calm in (1, 96))
        assert len(entropy.encode(noisy.levels, info, tables)) < 1.07 * noisy.packed_bits / 8 + 8
        low = sum(max(0, b - 12) * x.size for b, x in zip(info.bits, calm.levels, strict=True)) / 8  # never modelled
        assert len(entropy.encode(calm.levels, info, tables)) < low + 0.55 * (calm.packed_bits / 8 - low)


def test_a_table_that_fits_makes_codes_smaller() -> None:
    peaked = np.minimum(*np.random.default_rng(0).geometric(0.02, (2, 1, 4000))) % 1024
    info = CodecInfo("peaked", "", 24000, 1, 320, (1024,))
    codes = random_codes(info, 1, 4000)
    table = priors.build([type(codes)((peaked,), codes.length, info)])
    test = (peaked[:, :75],)
    flat = entropy.encode(test, info, priors.tables(info))
    fitted = entropy.encode(test, info, table)
    assert len(fitted) < 0.75 * len(flat)
    assert np.array_equal(entropy.decode(fitted, [75], info, table)[0], test[0])


@given(st.binary(max_size=60), st.sampled_from([SMALL, PEARL, ODD]))
def test_any_bytes_give_codes_or_a_plain_error(data: bytes, info: CodecInfo) -> None:
    counts = [12 // stride for stride in info.strides]
    try:
        levels = entropy.decode(data, counts, info, priors.tables(info))
    except DamagedError:
        return
    assert all(level.min() >= 0 and level.max() < size for level, size in zip(levels, info.codebook_sizes, strict=True))


def test_nine_levels_code_two_hundred_times_faster_than_they_sound() -> None:
    tables = priors.tables(PEARL)
    levels = random_codes(PEARL, 9, 75, calm=5).levels
    seconds = []
    for _ in range(5):
        start = time.process_time()
        data = entropy.encode(levels, PEARL, tables)
        entropy.decode(data, [75] * 9, PEARL, tables)
        seconds.append((time.process_time() - start) / 2)
    assert min(seconds) < 1 / 200
