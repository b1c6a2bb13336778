"""The type of NumPy's arrays, of any shape and kind of number, and how exact their numbers are."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

EPSILON = float(np.finfo(np.float64).eps)
"""The rounding of float64, 2^-52: the distance from 1 to the next larger number."""
