"""Reads the pickle inside a `.dac` file without unpickling it: a small machine that can call nothing.

Python's own unpickler imports and calls whatever a file names. This one knows the opcodes that
`numpy.save` writes for a dict of plain values and numeric arrays, and the four numpy names in them, which it
answers with objects of its own; anything else ends in DamagedError. Nothing here recurses, imports or hashes what
the file built, the number of steps is bounded, and no array is made before its bytes are known to be there.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from enum import Enum
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedError

MAX_STEPS = 1000  # opcodes; a real .dac takes about 200
MAX_NDIM = 4
MAX_DIM = 1 << 31  # exclusive, of every dimension

_NUMERIC = frozenset({"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"})
_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], object]] = {
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": lambda: _MARK,
}
_INTEGERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1"})
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"})
_LITERALS = _INTEGERS | _TEXTS | {"BINFLOAT"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Name(Enum):
    """What a pickle may name; both spellings of numpy's inside mean the same."""

    RECONSTRUCT = "_reconstruct"
    SCALAR = "scalar"
    NDARRAY = "ndarray"
    DTYPE = "dtype"


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
}


class _Dtype:
    """A numpy dtype in the making: its code, then its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if type(code) is not str or code not in _NUMERIC | {"O8"}:
            named = repr(code[:40]) if isinstance(code, str) else type(code).__name__
            raise DamagedError(f"the pickle holds an array of dtype {named}, expected plain numbers")
        self.code, self.order = code, "="

    def build(self, state: object) -> None:
        """State as numpy writes it: (3, byte order, no fields, ...)."""
        if type(state) is not tuple or len(state) != 8 or state[2:5] != (None, None, None):
            raise DamagedError("the pickle holds a dtype with fields or without a state, expected plain numbers")
        if type(state[1]) is not str or state[1] not in "<>|=" or len(state[1]) != 1:
            raise DamagedError("the pickle holds a dtype without a byte order, expected one of < > |")
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        """The real dtype, numeric for certain."""
        if self.code not in _NUMERIC:
            raise DamagedError("the pickle holds an array of objects inside, expected plain numbers")
        return np.dtype(self.order + self.code)


class Array:
    """A numpy array in the making; `value` is the array, or the one object a 0-d object array holds."""

    def __init__(self) -> None:
        self.value: object = None

    def build(self, state: object) -> None:
        """State as numpy writes it: (1, shape, dtype, Fortran order, bytes or a list of one object)."""
        if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _Dtype:
            raise DamagedError("the pickle holds an array whose state is not numpy's")
        _, shape, dtype, fortran, content = state
        if dtype.code == "O8" and shape == () and type(content) is list and len(content) == 1:
            self.value = content[0]
        else:
            self.value = _numbers(shape, dtype.numpy(), fortran is True, content)


def load(stream: BinaryIO) -> object:
    """The object in the pickle at the start of `stream`: plain values, and `Array` where an array stands."""
    machine = _Machine()
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if step >= MAX_STEPS:
                raise DamagedError(f"the pickle takes more than {MAX_STEPS} steps; a real .dac takes about 200")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except (ValueError, OverflowError, MemoryError, struct.error) as error:
        raise DamagedError(f"the pickle is cut short or broken: {str(error)[:120]}") from None
    raise DamagedError("the pickle is cut short: it has no end mark")


class _Machine:
    """The stack, the memo, and what each opcode does to them."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(reversed([self.pop() for _ in range(_TUPLES[name])])))
        elif name == "TUPLE":
            self.stack.append(tuple(self.pop_mark()))
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.recall(argument))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.top()
        elif name == "GLOBAL":
            self.stack.append(_lookup(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            self.stack.append(_lookup(module, attribute))
        elif name in ("APPEND", "APPENDS"):
            self.extend([self.pop()] if name == "APPEND" else self.pop_mark())
        elif name in ("SETITEM", "SETITEMS"):
            self.set_items([self.pop(), self.pop()][::-1] if name == "SETITEM" else self.pop_mark())
        elif name == "REDUCE":
            arguments, called = self.pop(), self.pop()
            self.stack.append(_reduce(called, arguments))
        elif name == "BUILD":
            self.build(self.pop())
        elif name not in ("PROTO", "FRAME"):
            raise DamagedError(f"the pickle uses opcode {name}, which no .dac needs; nothing was run")

    def pop(self) -> object:
        """Take the uppermost value."""
        value = self.top()
        self.stack.pop()
        return value

    def top(self) -> object:
        """The uppermost value, which must not be a mark."""
        if not self.stack or self.stack[-1] is _MARK:
            raise DamagedError("the pickle takes a value that it never put down")
        return self.stack[-1]

    def pop_mark(self) -> list[object]:
        """Take everything above the last mark, and the mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                values = self.stack[i + 1 :]
                del self.stack[i:]
                return values
        raise DamagedError("the pickle takes values back to a mark that it never set")

    def recall(self, index: int) -> object:
        """A value put into the memo before."""
        if index not in self.memo:
            raise DamagedError(f"the pickle recalls value {index}, which it never stored")
        return self.memo[index]

    def extend(self, values: list[object]) -> None:
        """Add to the list on top."""
        target = self.top()
        if type(target) is not list:
            raise DamagedError("the pickle appends to something that is no list")
        target.extend(values)

    def set_items(self, values: list[object]) -> None:
        """Add to the dict on top; only text may be a key, so that nothing deep is ever hashed."""
        target = self.top()
        if type(target) is not dict or len(values) % 2 or any(type(key) is not str for key in values[::2]):
            raise DamagedError("the pickle fills something that is no dict with text as its keys")
        target.update(zip(values[::2], values[1::2], strict=True))

    def build(self, state: object) -> None:
        """Give the array or dtype on top its state."""
        target = self.top()
        if not isinstance(target, Array | _Dtype):
            raise DamagedError("the pickle builds something that is no array")
        target.build(state)


def _lookup(module: object, attribute: object) -> _Name:
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise DamagedError("the pickle names something by a value that is not text; nothing was run")
    if (module, attribute) not in _NAMES:
        named = f"{module[:60]}.{attribute[:60]}"
        raise DamagedError(f"the pickle names {named!r}, which no .dac needs; nothing was run")
    return _NAMES[module, attribute]


def _reduce(called: object, arguments: object) -> object:
    if type(arguments) is not tuple or not isinstance(called, _Name):
        raise DamagedError("the pickle calls something that is not numpy's; nothing was run")
    if called is _Name.RECONSTRUCT and arguments == (_Name.NDARRAY, (0,), b"b"):
        return Array()
    if called is _Name.DTYPE and len(arguments) == 3:
        return _Dtype(*arguments)
    if called is _Name.SCALAR and len(arguments) == 2 and type(arguments[0]) is _Dtype:
        return _numbers((), arguments[0].numpy(), False, arguments[1]).item()
    raise DamagedError(f"the pickle calls numpy's {called.value} with arguments that numpy never writes")


def _numbers(shape: object, dtype: np.dtype[Any], fortran: bool, content: object) -> NDArray[Any]:
    if type(shape) is not tuple or len(shape) > MAX_NDIM or not all(type(n) is int and 0 <= n < MAX_DIM for n in shape):
        raise DamagedError(f"the pickle holds an array that has not 0 to {MAX_NDIM} dimensions below 2**31")
    expected = prod(shape) * dtype.itemsize
    if type(content) is not bytes or len(content) != expected:
        got = f"{len(content)} bytes" if type(content) is bytes else type(content).__name__
        raise DamagedError(f"the pickle holds an array of {expected} bytes by its shape, got {got}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
