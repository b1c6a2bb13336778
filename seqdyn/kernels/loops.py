"""What compiled loops are made of: a product that is added, and activations in a form that is vectorised."""

from __future__ import annotations

import math
from typing import Any

from numba import float32
from numba.extending import overload

from seqdyn.kernels.compiled import FLAGS, compiled


@compiled
def add_product(out: Any, left: Any, right: Any) -> None:
    """out += left @ right, for out (rows, n), left (rows, k) and right (k, n).

    Four rows and four columns of ``left`` at a time: what is loaded is used four times. ``left`` comes as a slice of
    its columns, also where that is all of them: it is then of one type everywhere, and this is compiled once.
    """
    rows, depth = left.shape
    whole, deep = rows - rows % 4, depth - depth % 4
    for i in range(0, whole, 4):
        out0, out1, out2, out3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        for k in range(0, deep, 4):
            right0, right1, right2, right3 = right[k], right[k + 1], right[k + 2], right[k + 3]
            l00, l01, l02, l03 = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
            l10, l11, l12, l13 = left[i + 1, k], left[i + 1, k + 1], left[i + 1, k + 2], left[i + 1, k + 3]
            l20, l21, l22, l23 = left[i + 2, k], left[i + 2, k + 1], left[i + 2, k + 2], left[i + 2, k + 3]
            l30, l31, l32, l33 = left[i + 3, k], left[i + 3, k + 1], left[i + 3, k + 2], left[i + 3, k + 3]
            for j in range(out.shape[1]):
                r0, r1, r2, r3 = right0[j], right1[j], right2[j], right3[j]
                out0[j] += l00 * r0 + l01 * r1 + l02 * r2 + l03 * r3
                out1[j] += l10 * r0 + l11 * r1 + l12 * r2 + l13 * r3
                out2[j] += l20 * r0 + l21 * r1 + l22 * r2 + l23 * r3
                out3[j] += l30 * r0 + l31 * r1 + l32 * r2 + l33 * r3
        for r in range(i, i + 4):
            _add_rows(out[r], left[r], right, deep)
    for r in range(whole, rows):
        _add_rows(out[r], left[r], right, 0)


@compiled
def _add_rows(out: Any, left: Any, right: Any, start: int) -> None:
    """out += Σ_{k ≥ start} left_k right_k, for one row."""
    depth, k = len(left), start
    while k + 4 <= depth:
        l0, l1, l2, l3 = left[k], left[k + 1], left[k + 2], left[k + 3]
        right0, right1, right2, right3 = right[k], right[k + 1], right[k + 2], right[k + 3]
        for j in range(len(out)):
            out[j] += l0 * right0[j] + l1 * right1[j] + l2 * right2[j] + l3 * right3[j]
        k += 4
    for rest in range(k, depth):
        for j in range(len(out)):
            out[j] += left[rest] * right[rest, j]


def tanh(x: Any) -> Any:
    """tanh x, in single precision by Lambert's continued fraction, whose error is 3e-7 at most."""
    return math.tanh(x)


def sigmoid(x: Any) -> Any:
    """σ(x) = ½ + ½ tanh(x / 2), in the precision of tanh."""
    return 0.5 + 0.5 * tanh(0.5 * x)


@overload(tanh, jit_options={"fastmath": FLAGS})
def _tanh(x: Any) -> Any:
    """tanh y = y / (1 + y² / (3 + y² / (5 + …))) up to 13, for y = x / 2, then tanh 2y = 2t / (1 + t²), t = tanh y."""

    def exact(x: Any) -> Any:
        return math.tanh(x)

    def fraction(x: Any) -> Any:
        y = float32(0.5) * x
        y = float32(4.5) if y > float32(4.5) else y
        y = float32(-4.5) if y < float32(-4.5) else y
        s = y * y
        p = y * (float32(135135) + s * (float32(17325) + s * (float32(378) + s)))
        q = float32(135135) + s * (float32(62370) + s * (float32(3150) + s * float32(28)))
        return float32(2) * p * q / (p * p + q * q)

    return fraction if x is float32 else exact


@overload(sigmoid, jit_options={"fastmath": FLAGS})
def _sigmoid(x: Any) -> Any:
    """σ in the precision of x."""

    def of_tanh(x: Any) -> Any:
        half = type(x)(0.5)
        return half + half * tanh(half * x)

    return of_tanh
