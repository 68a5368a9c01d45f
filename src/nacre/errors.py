"""Everything nacre raises on purpose.

    NacreError              catch this one to catch them all
    ├── InputError          what was handed in does not fit: wrong shape, rate, name or option
    ├── DamagedError        bytes that do not hold what they promise: truncated, flipped or hostile files
    └── MissingError        something optional is not here: a package, a set of weights

A message is one plain sentence that says what came, what was expected and what to do. `exit_code`
is what the command line ends with: 1 for the caller's mistake, 2 for damaged input.
"""

from __future__ import annotations


class NacreError(Exception):
    """Base of every error nacre raises on purpose."""

    exit_code = 1


class InputError(NacreError):
    """What was handed in does not fit: wrong shape, rate, name or option."""


class DamagedError(NacreError):
    """Bytes that do not hold what they promise."""

    exit_code = 2


class MissingError(NacreError):
    """Something optional is not here; the message says how to get it."""
