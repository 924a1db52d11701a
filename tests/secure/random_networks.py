"""Quadratic networks with random weights, and rows of inputs of several distributions, for tests of error bounds."""

from __future__ import annotations

import numpy as np

from compress.network import Add, Dense, Input, Network, Polynomial, Weights

COEFFICIENTS = np.array([[0.1], [0.5], [0.15]])


def rows(kind: str, count: int, features: int, seed: int) -> np.ndarray:
    """Rows (count, features) with independent, scaled or skewed features, or with features that follow three bounded
    ones."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(count, features))
    if kind == "scaled":
        return plain * np.exp(0.3 * rng.normal(size=(count, 1)))
    if kind == "skewed":
        return np.exp(0.5 * plain)
    if kind == "correlated":
        few = rng.uniform(-1.7, 1.7, size=(count, 3))
        return few @ np.random.default_rng(7).normal(size=(3, features)) + 0.1 * plain
    return plain


def network(sizes: tuple[int, ...], inputs: np.ndarray, seed: int, *, residual: bool = False) -> Network:
    """A network of dense layers with activations between them; values have the root mean square 1 on the inputs.

    residual: whether every layer of equal sizes adds its input to its activation.
    """
    rng = np.random.default_rng(seed)
    nodes = [Input(name="x", inputs=(), shape=(sizes[0],))]
    values = inputs
    for index, (rows_, columns) in enumerate(zip(sizes[1:], sizes[:-1], strict=True)):
        kernel = rng.normal(size=(rows_, columns))
        kernel /= np.sqrt(np.mean((values @ kernel.T) ** 2))
        bias, name, before = 0.3 * rng.normal(size=rows_), f"fc{index}", nodes[-1].name
        weights = Weights(kernel, np.array(1.0))
        nodes.append(Dense(name=name, inputs=(before,), shape=(rows_,), weights=weights, bias=bias))
        entered, values = values, values @ kernel.T + bias
        if index < len(sizes) - 2:
            nodes.append(Polynomial(name=f"act{index}", inputs=(name,), shape=(rows_,), coefficients=COEFFICIENTS))
            values = sum(c * values**k for k, c in enumerate(COEFFICIENTS[:, 0]))
            if residual and rows_ == columns:
                nodes.append(Add(name=f"sum{index}", inputs=(f"act{index}", before), shape=(rows_,)))
                values = values + entered
    return Network(nodes=tuple(nodes))
