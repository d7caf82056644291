"""Tolerances by kind of comparison on a CPU, in float32: `assert_allclose(a, b, **MODEL)`.

CONVENTIONS.md has the same table. Integers, masks, two runs of one seed, and a resumed and an
uninterrupted run are equal bit for bit.
"""

NUMBER = {"rtol": 2e-6, "atol": 1e-7}
"""a closed form or a table of numbers, and an independent implementation"""
LAYER = {"rtol": 1e-5, "atol": 5e-6}
"""a layer, a loss or an update, and an independent implementation; relative to numbers above 1"""
MODEL = {"rtol": 1e-4, "atol": 2e-5}
"""a whole tiny model, and an independent implementation: logits and gradients"""
SAME = {"rtol": 1e-7, "atol": 1e-6}
"""one function by two programs: rows in another order, recomputation, an unrolled loop"""
CACHED = {"rtol": 1e-7, "atol": 2e-5}
"""cached and full forward pass; blockwise and whole attention"""
GRADIENT = {"rtol": 1e-4, "atol": 2e-6}
"""many devices and one: loss and gradient of a step"""
DEVICES = {"rtol": 1e-3, "atol": 1e-4}
"""many devices and one, vmapped seeds and one: parameters after two steps"""
RUN = {"rtol": 1e-7, "atol": 1e-5}
"""whole runs of plain gradients on different devices or processes"""
HALF = {"rtol": 1e-2, "atol": 1e-2}
"""a kernel in bfloat16 or float16, and its reference in float64; relative to the largest element"""
COARSE = {"rtol": 2e-2, "atol": 2e-2}
"""a layer in bfloat16 and the same layer in float32"""
DOUBLE = {"rtol": 1e-9, "atol": 1e-12}
"""arithmetic in float64: an identity, or an independent implementation"""
