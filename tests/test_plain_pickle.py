"""plain_pickle: everything numpy.save writes for plain values and numbers, and nothing that could do anything."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre.container.plain_pickle import MAX_STEPS, Array, load
from nacre.errors import DamagedError

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
FRESH = RECONSTRUCT + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R"  # an ndarray that waits for its state


def loads(data: bytes) -> object:
    return load(io.BytesIO(data))


def dtype(code: bytes, order: bytes = b"<") -> bytes:
    state = b"(K\x03" + b"\x8c\x01" + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return b"cnumpy\ndtype\n\x8c" + bytes([len(code)]) + code + b"\x89\x88\x87R" + state


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def array(shape: list[int], code: bytes, content: bytes) -> bytes:
    """The pickle of an array with any lie in it."""
    return FRESH + b"(K\x01(" + b"".join(map(number, shape)) + b"t" + dtype(code) + b"\x89" + content + b"tb."


def raw(content: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(content)) + content


@pytest.mark.parametrize("kind", ["?", "u1", "u2", "<i4", ">i4", ">u2", "i8", "f2", "<f4", ">f8", "u8"])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3, 4), (1, 2, 1, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_out_as_python_reads_them(kind: str, shape: tuple[int, ...], order: Any, protocol: int) -> None:
    values = np.asfortranarray if order == "F" else np.ascontiguousarray
    written = values((np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(kind)).reshape(shape)
    read = loads(pickle.dumps(written, protocol))
    assert isinstance(read, Array) and isinstance(read.value, np.ndarray)
    assert read.value.dtype == written.dtype and read.value.shape == shape
    assert np.array_equal(read.value, written)


@pytest.mark.parametrize("protocol", [3, 4])
def test_plain_values_come_out_as_they_went_in(protocol: int) -> None:
    values = {
        "a": [1, -1, 255, 256, 65536, 2**40, -(2**70)],
        "b": (True, False, None),
        "c": 1.5,
        "d": ("x",),
        "é" * 200: b"y",
    }
    values |= {"one": [1], "many": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "long": b"z" * 300, "none": {}}
    assert loads(pickle.dumps(values, protocol)) == values
    assert loads(pickle.dumps({"only": 1}, protocol)) == {"only": 1}


def test_numpy_scalars_become_plain_numbers() -> None:
    read = loads(pickle.dumps({"n": np.int64(2**40), "x": np.float32(0.5), "y": np.bool_(True)}, 4))
    assert read == {"n": 2**40, "x": 0.5, "y": True}
    assert [type(value) for value in read.values()] == [int, float, bool]


def test_both_spellings_of_numpy_are_known() -> None:
    data = pickle.dumps(np.arange(3, dtype="<u2"), 3)
    assert b"numpy._core.multiarray" in data or b"numpy.core.multiarray" in data
    for spelling in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        other = data.replace(b"numpy._core.multiarray", spelling).replace(b"numpy.core.multiarray", spelling)
        read = loads(other)
        assert isinstance(read, Array) and np.array_equal(read.value, [0, 1, 2])  # type: ignore[arg-type]


def test_a_lone_object_is_opened_and_an_array_of_them_is_not() -> None:
    read = loads(pickle.dumps(np.array({"a": 1}, object), 4))
    assert isinstance(read, Array) and read.value == {"a": 1}
    for objects in (np.array([1, "a"], object), np.empty((2, 2), object)):
        with pytest.raises(DamagedError, match="array of objects"):
            loads(pickle.dumps(objects, 4))


class Runs:
    """Pickles as a call of anything with anything."""

    def __init__(self, called: Callable[..., Any], *arguments: Any) -> None:
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.called, self.arguments


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_a_pickle_names_is_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    attacks = [
        Runs(os.system, f"touch {mark}"),
        Runs(eval, f"open({str(mark)!r}, 'w')"),
        Runs(open, str(mark), "w"),
        Runs(np.save, str(mark), 1),
        Runs(np.memmap, str(mark), "u1", "w+", 0, (9,)),
        Runs(getattr, os, "system"),
        Runs(pickle.loads, b"."),
        Runs(__import__, "antigravity"),
    ]
    for attack in attacks:
        try:
            data = pickle.dumps(np.array({"codes": attack}, object), protocol)
        except (TypeError, pickle.PicklingError):
            continue  # this one cannot even be written at that protocol
        with pytest.raises(DamagedError):
            loads(data)
    assert not mark.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(ios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"cnumpy\nndarray\n)\x81.",
        b"cnumpy\nndarray\n)R.",
        b"cnumpy\ndtype\n(\x8c\x02O8K\x00K\x01tR\x8c\x01xb.",
        b"cnumpy.core.multiarray\nscalar\n" + dtype(b"O8", b"|") + b"C\x01x\x86R.",
        b"cnumpy.core.multiarray\nscalar\n" + dtype(b"u8") + b"C\x01x\x86R.",
        b"\x8c\x05numpy]\x93.",
        b"Pid\n.",
        b"\x82\x01.",
        b"\x97.",
        b"]2e.",
        FRESH + b"}\x8c\x01ak\x00sb.",
        FRESH + b"Nb.",
        b"}]K\x01s.",  # a list as a key
        b"}K\x01K\x01s.",  # a number as a key
        b"}(\x8c\x01au.",  # a key without a value
        b"]K\x01\x8c\x01as.",
        b"K\x01K\x02a.",
        b"K\x01K\x02b.",
        b"K\x01)R.",
        b"h\x05.",
        b"R.",
        b"t.",
        b"(.",
        b".",
        b"",
        b"\x80",
        b"\xff",
        b"I" + b"9" * 100_000 + b"\n.",
        b"\x8b\x04\x00\x00\x00\x01\x00\x00\x00.",  # LONG4: no .dac needs numbers of such a size
    ],
)
def test_broken_and_foreign_opcodes_are_refused(opcodes: bytes) -> None:
    with pytest.raises(DamagedError):
        loads(opcodes)


@pytest.mark.parametrize(
    ("shape", "code", "content"),
    [
        ([2**31 - 1] * 4, b"u8", raw(b"")),
        ([2**40], b"u1", raw(b"")),
        ([2**62, 4], b"f8", raw(b"")),
        ([0, 2**31 - 1, 2**31 - 1, 2**31 - 1], b"u8", raw(b"")),
        ([-1], b"u1", raw(b"x")),
        ([-2, -2], b"u1", raw(b"abcd")),
        ([1] * 5, b"u1", raw(b"x")),
        ([1] * 64, b"u1", raw(b"x")),
        ([2], b"u2", raw(b"abc")),
        ([2], b"u2", raw(b"abcde")),
        ([1], b"u2", b"\x8c\x02ab"),
        ([1], b"O8", b"]K\x01a"),
        ([1], b"V4", raw(b"abcd")),
        ([1], b"S4", raw(b"abcd")),
        ([1], b"c8", raw(b"abcdefgh")),
        ([1], b"M8", raw(b"abcdefgh")),
        ([1], b"u2,u2", raw(b"abcd")),
        ([1], b"2u2", raw(b"abcd")),
    ],
)
def test_an_array_must_be_what_its_state_says(shape: list[int], code: bytes, content: bytes) -> None:
    good = loads(array([2], b"u2", raw(b"\x01\x00\x02\x00")))
    assert isinstance(good, Array) and np.array_equal(good.value, [1, 2])  # type: ignore[arg-type]
    with pytest.raises(DamagedError):
        loads(array(shape, code, content))


@pytest.mark.parametrize(
    "state",
    [
        b"N",
        b")",
        b"(K\x01)Nt",
        b"(K\x01K\x02" + dtype(b"u1") + b"\x89C\x00t",
        b"(K\x01(\x88t" + dtype(b"u1") + b"\x89C\x01xt",
    ],
)
def test_an_array_state_of_another_shape_is_refused(state: bytes) -> None:
    loads(FRESH + b"(K\x01)" + dtype(b"u1") + b"\x89C\x01xtb.")
    with pytest.raises(DamagedError):
        loads(FRESH + state + b"b.")


def bomb_of_memos() -> bytes:
    return b"N" + b"".join(b"r" + struct.pack("<I", 2**32 - 1 - i) for i in range(500)) + b"."


def bomb_of_hashes() -> bytes:  # t = (t, t) forty times over, then as a key: 2**40 steps in Python's own unpickler
    return b"})" + b"q\x00h\x00\x86" * 40 + b"K\x01s."


def bomb_of_depth() -> bytes:
    return b"]" + b"\x85" * (MAX_STEPS - 5) + b"K\x01\x86."


def loop() -> bytes:
    return b"]q\x00h\x00a}q\x01\x8c\x01ah\x01sK\x01\x87."


@pytest.mark.parametrize(
    "data",
    [
        bomb_of_memos(),
        bomb_of_hashes(),
        bomb_of_depth(),
        loop(),
        b"N" * (MAX_STEPS + 1) + b".",
        b"(" * 10_000_000,
        b"\x95" + struct.pack("<Q", 2**63) + b"N.",
        b"\x8e" + struct.pack("<Q", 2**62) + b"x.",
        b"\x8e" + struct.pack("<Q", 2**64 - 1) + b"x.",
        b"\x8d" + struct.pack("<Q", 2**40) + b"x.",
        b"B\xff\xff\xff\xffx.",
        b"\x8b\xff\xff\xff\x7fx.",
    ],
)
def test_bombs_take_neither_time_nor_memory(data: bytes) -> None:
    stream = io.BytesIO(data)
    tracemalloc.start()
    begun = time.process_time()
    try:
        load(stream)
    except DamagedError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert time.process_time() - begun < 2
    assert peak < 2_000_000


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(DamagedError, match=str(MAX_STEPS)):
        loads(b"N" * MAX_STEPS + b".")
    assert loads(b"N" * (MAX_STEPS - 1) + b".") is None


@given(
    st.lists(
        st.sampled_from([bytes([b]) for b in b"(.)]}Ntasu\x85\x86\x87\x88\x89\x93\x94Rb0K2eh\x00\x01"]), max_size=40
    )
)
def test_any_soup_of_opcodes_ends(soup: list[bytes]) -> None:
    with contextlib.suppress(DamagedError):
        loads(FRESH + b"".join(soup))


@given(st.data())
def test_any_damage_to_a_real_pickle_ends_in_a_value_or_an_error(data: st.DataObject) -> None:
    whole = {
        "codes": np.arange(12, dtype="u2").reshape(1, 3, 4),
        "metadata": {"db": np.ones(1, "f4"), "n": 5, "p": True},
    }
    pickled = bytearray(pickle.dumps(np.array(whole, object), 4))
    for at in data.draw(st.lists(st.integers(0, len(pickled) - 1), min_size=1, max_size=4)):
        pickled[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DamagedError):
        loads(bytes(pickled[: data.draw(st.integers(0, len(pickled)))]))
