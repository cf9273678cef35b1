"""The lowest and the highest bit of a word, by the processor's own instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_NEVER_ZERO = ir.Constant(ir.IntType(1), 1)


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(_: Any, word: Any) -> Any:  # noqa: ARG001 - numba looks at the types, not at the values
    """The place, from 0, of the lowest bit that is set in a uint64; one must be."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], _NEVER_ZERO)

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def highest_bit(_: Any, word: Any) -> Any:  # noqa: ARG001
    """The place, from 0, of the highest bit that is set in a uint64; one must be."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.sub(ir.Constant(ir.IntType(64), 63), builder.ctlz(arguments[0], _NEVER_ZERO))

    return types.int64(types.uint64), generate
