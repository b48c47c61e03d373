"""Temperature scaling: confidences that mean what they say, and the same predictions."""

from __future__ import annotations

from math import exp, log

import numpy as np
from numpy.typing import NDArray

# Beyond these the data say only that the model is always right, or knows nothing.
_LOWEST, _HIGHEST = 0.05, 20.0

# Halves log T's range of six to below 1e-9.
_STEPS = 34


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature under which held-out labels are most likely.

    T = argmin_T mean_i -log softmax(z_i / T)_{y_i},   T in [0.05, 20]

    The loss is convex in 1/T, with slope mean_i (sum_c softmax(z_i / T)_c z_ic - z_iy_i).
    Halving log T by the slope's sign finds the one minimum, the same each time.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.

    Args:
        logits: Shape [N, C], finite, N >= 1.
        labels: The true classes, shape [N], integers in [0, C).

    Returns:
        T; an end of its range where all are right (0.05) or none is (20).

    Raises:
        ValueError: There is no example, a logit is not finite, or the shapes do not fit.
    """
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or z.size == 0 or len(z) != len(labels) or not np.isfinite(z).all():
        raise ValueError(f"logits must be [examples, classes], finite and not empty, got {z.shape}")
    z = z - z[np.arange(len(z)), labels][:, None]
    low, high = log(_LOWEST), log(_HIGHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _slope(z, exp(-middle)) > 0:
            low = middle
        else:
            high = middle
    return exp((low + high) / 2)


def apply_temperature(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Logits z / T, shape [N, C], whose softmax are the tempered probabilities.

    Raises:
        ValueError: The temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return np.asarray(logits, dtype=np.float64) / temperature


def _slope(z: NDArray[np.float64], inverse: float) -> float:
    """d loss / d (1/T) at 1/T, from logits less that of the true class, [N, C]."""
    weights = np.exp((z - z.max(axis=1, keepdims=True)) * inverse)
    return float(((weights * z).sum(axis=1) / weights.sum(axis=1)).mean())
