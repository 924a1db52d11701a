"""Throughput plans made by hand, random residues for them, and what a plan gives in whole numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Sum
from secure.params import make_params


def linear(matrix, bias=None, *, source=0, layer="linear"):
    """A Linear step of a dense matrix of integers."""
    matrix = np.asarray(matrix)
    rows, columns = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    return Linear(
        layer=layer,
        sources=(source,),
        scales=np.ones(len(matrix)),
        starts=starts.astype(np.int64),
        columns=columns.astype(np.int32),
        codes=matrix[rows, columns].astype(np.int32),
        bias=np.zeros(len(matrix)) if bias is None else np.asarray(bias, dtype=float),
    )


def dense_matrix(step, columns):
    """The codes of a Linear step as a matrix of Python integers."""
    matrix = np.zeros((step.features, columns), dtype=object)
    for row in range(step.features):
        for k in range(step.starts[row], step.starts[row + 1]):
            matrix[row, step.columns[k]] += int(step.codes[k])
    return matrix


def batch_plan(inputs, steps, bits=(41,), degree=2048):
    return BatchPlan(params=make_params(degree, bits, None), inputs=inputs, input_scale=1.0, steps=tuple(steps))


def residues(prime, shape, seed=0, extreme=False):
    """Centred residues, the extremes included; `extreme` draws nothing else."""
    generator, half = np.random.default_rng(seed), prime // 2
    if extreme:
        return generator.choice([-half, half], shape).astype(float)
    values = generator.integers(-half, half, shape, endpoint=True).astype(float)
    values.flat[:2] = half, -half
    return values


def whole(values):
    """Float64 whole numbers as Python integers."""
    return np.vectorize(int, otypes=[object])(values)


def convolution(left, right):
    """The parts (axis 1) of a product of two ciphertexts."""
    parts = left.shape[1] + right.shape[1] - 1
    total = np.zeros((left.shape[0], parts, left.shape[2]), dtype=object)
    for i in range(left.shape[1]):
        for j in range(right.shape[1]):
            total[:, i + j] += left[:, i] * right[:, j]
    return total


def simulate(plan, prime, value):
    """The plan on residues (inputs, 2, positions) as Python integers, from its definition; centred."""
    values = [whole(value)]
    for step, parts in zip(plan.steps, plan.parts[1:], strict=True):
        sources = [values[source] for source in step.sources]
        result = np.zeros((step.features, parts, value.shape[-1]), dtype=object)
        match step:
            case Linear():
                matrix = dense_matrix(step, len(sources[0]))
                result += np.tensordot(matrix, sources[0], axes=1)
                result[:, 0] += whole(step.bias)[:, None]
            case Quadratic():
                square, factor, constant = (whole(row)[:, None] for row in (step.square, step.linear, step.constant))
                result += square[:, :, None] * convolution(sources[0], sources[0])
                result[:, : sources[0].shape[1]] += factor[:, :, None] * sources[0]
                result[:, 0] += constant
            case Product():
                result += convolution(*sources)
            case Sum():
                for source, factors in zip(sources, step.factors, strict=True):
                    result[:, : source.shape[1]] += whole(factors)[:, None, None] * source
            case Select():
                features = [feature for source in sources for feature in source]
                for row, (index, factor) in enumerate(zip(step.indices, step.factors, strict=True)):
                    if index >= 0:
                        result[row, : len(features[index])] += int(factor) * features[index]
        values.append(result % prime)
    return np.where(values[-1] > prime // 2, values[-1] - prime, values[-1])


@st.composite
def random_plans(draw):
    """Plans of up to five steps of every kind, with at most two squares, on one or two primes of the ring of 64."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    features, parts, steps = [draw(st.integers(1, 6))], [2], []
    inputs = features[0]
    for number in range(1, draw(st.integers(1, 5)) + 1):
        source = draw(st.integers(0, number - 1))
        kind = draw(st.sampled_from(["linear", "quadratic", "product", "sum", "select"]))
        alike = [value for value in range(number) if features[value] == features[source]]
        common = {"layer": f"{kind}{number}", "scales": np.ones(features[source])}
        if kind in ("quadratic", "product") and max(parts) > 3:
            kind = "linear"
        if kind == "linear":
            shape = draw(st.integers(1, 5)), features[source]
            codes = generator.integers(-50, 51, shape) * (
                generator.random(shape) < draw(st.sampled_from([0.0, 0.4, 1.0]))
            )
            steps.append(linear(codes, generator.integers(-(2**40), 2**40, shape[0]), source=source))
        elif kind == "quadratic":
            names = ("square", "linear", "constant")
            arrays = {name: generator.integers(-3, 4, features[source]).astype(float) for name in names}
            steps.append(Quadratic(sources=(source,), **common, **arrays))
        elif kind == "product":
            steps.append(Product(sources=(source, alike[-1]), **common))
        elif kind == "sum":
            factors = generator.integers(-9, 10, (len(alike), features[source])).astype(float)
            steps.append(Sum(sources=tuple(alike), factors=factors, **common))
        else:
            sources = tuple(draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3)))
            indices = generator.integers(-1, sum(features[one] for one in sources), draw(st.integers(1, 6)))
            factors = generator.integers(-9, 10, len(indices)).astype(float)
            common["scales"] = np.ones(len(indices))
            steps.append(Select(sources=sources, indices=indices, factors=factors, **common))
        features.append(steps[-1].features)
        parts = batch_plan(inputs, steps, (41,), 64).parts
    bits = draw(st.sampled_from([(41,), (24, 23), (46, 30)]))
    return batch_plan(inputs, steps, bits, 64)
