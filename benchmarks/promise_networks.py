"""Quadratic networks with random weights, and rows of inputs of several distributions: where error bounds are tried."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.network import Add, Dense, Input, Network, Node, Polynomial, Weights

Array = NDArray[np.float64]

COEFFICIENTS = np.array([[0.1], [0.5], [0.15]])
#: Every distribution of rows, in words.
KINDS = {
    "plain": "normal",
    "heavy": "Student t, 5 degrees of freedom",
    "scaled": "normal, rows of different sizes",
    "skewed": "log-normal",
    "correlated": "three bounded factors",
    "bounded": "uniform",
    "mixed": "one-hot groups, log-normal and normal features",
}


def rows(kind: str, count: int, features: int, seed: int) -> Array:
    """Rows (count, features) of a distribution of KINDS."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(count, features))
    if kind == "heavy":
        return np.asarray(plain / np.sqrt(rng.chisquare(5, size=(count, features)) / 3))
    if kind == "scaled":
        return np.asarray(plain * np.exp(0.3 * rng.normal(size=(count, 1))))
    if kind == "skewed":
        return np.asarray(np.exp(0.5 * plain))
    if kind == "correlated":
        few = rng.uniform(-1.7, 1.7, size=(count, 3))
        return np.asarray(few @ np.random.default_rng(7).normal(size=(3, features)) + 0.1 * plain)
    if kind == "bounded":
        return rng.uniform(-1.7, 1.7, size=(count, features))
    if kind == "mixed":
        for first in range(0, features // 3 - 2, 4):
            plain[:, first : first + 4] = np.eye(4)[rng.integers(0, 4, size=count)]
        plain[:, -2:] = np.exp(0.7 * plain[:, -2:])
    return plain


def network(
    sizes: tuple[int, ...], inputs: Array, seed: int, *, residual: bool = False, bend: float = COEFFICIENTS[2, 0]
) -> Network:
    """A network of dense layers with activations between them; values have the root mean square 1 on the inputs.

    residual: whether every layer of equal sizes adds its input to its activation. bend: the activations' coefficient of
    the square.
    """
    coefficients = np.array([*COEFFICIENTS[:2], [bend]])
    rng = np.random.default_rng((seed, 1))  # other numbers than those of rows with the same seed
    nodes: list[Node] = [Input(name="x", inputs=(), shape=(sizes[0],))]
    values = inputs
    for index, (rows_, columns) in enumerate(zip(sizes[1:], sizes[:-1], strict=True)):
        kernel = rng.normal(size=(rows_, columns))
        kernel /= np.sqrt(np.mean((values @ kernel.T) ** 2))
        bias, name, before = 0.3 * rng.normal(size=rows_), f"fc{index}", nodes[-1].name
        weights = Weights(kernel, np.array(1.0))
        nodes.append(Dense(name=name, inputs=(before,), shape=(rows_,), weights=weights, bias=bias))
        entered, values = values, values @ kernel.T + bias
        if index < len(sizes) - 2:
            nodes.append(Polynomial(name=f"act{index}", inputs=(name,), shape=(rows_,), coefficients=coefficients))
            values = sum(c * values**k for k, c in enumerate(coefficients[:, 0]))
            if residual and rows_ == columns:
                nodes.append(Add(name=f"sum{index}", inputs=(f"act{index}", before), shape=(rows_,)))
                values = values + entered
    return Network(nodes=tuple(nodes))
