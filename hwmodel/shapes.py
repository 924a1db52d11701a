"""Networks known by their shapes alone, for costs without weights: dense, 32 bits per weight, nothing is built or run.

alexnet          Krizhevsky 2012: the five convolutions, with their two groups, 227 x 227
vgg16            Simonyan and Zisserman 2014: configuration D, 224 x 224
resnet20         He et al. 2015, for 32 x 32 images: 1x1 convolutions are shortcuts where the width changes
deit-s, deit-b   Touvron et al. 2020: 197 tokens; the products of attention are layers without weights
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from compress.errors import CostModelError
from hwmodel.counts import LayerWork, PlainWorkload

#: Operations per element of a normalization or softmax: additions, multiplications, and an exponential counted as four.
NORMALIZE_OPS, SOFTMAX_OPS, GELU_OPS = 5, 6, 8


def convolution(
    layer: str, inputs: int, outputs: int, kernel: int, size: int, *, stride: int = 1, groups: int = 1
) -> LayerWork:
    """A square convolution: channels in and out, kernel size, and height of the output."""
    fan_in = inputs // groups * kernel * kernel
    return LayerWork(
        layer=layer,
        macs=outputs * fan_in * size * size,
        nonzero_macs=outputs * fan_in * size * size,
        weights=outputs * fan_in,
        nonzeros=outputs * fan_in,
        biases=outputs,
        inputs=inputs * ((size - 1) * stride + (kernel if stride > 1 else 1)) ** 2,
        outputs=outputs * size * size,
        channels=outputs // groups,
        groups=groups,
        fan_in=fan_in,
        kernel_rows=kernel,
        output_rows=size,
    )


def dense(layer: str, inputs: int, outputs: int, positions: int = 1) -> LayerWork:
    """A dense layer at each of `positions` positions."""
    macs = inputs * outputs * positions
    return LayerWork(
        layer=layer,
        macs=macs,
        nonzero_macs=macs,
        weights=inputs * outputs,
        nonzeros=inputs * outputs,
        biases=outputs,
        inputs=inputs * positions,
        outputs=outputs * positions,
        channels=outputs,
        fan_in=inputs,
    )


def elementwise(layer: str, elements: int, operations: int = 1, inputs: int | None = None) -> LayerWork:
    """A layer of some operations per element."""
    return LayerWork(
        layer=layer,
        elementwise=elements * operations,
        inputs=elements if inputs is None else inputs,
        outputs=elements,
    )


def product(layer: str, rows: int, inner: int, columns: int, heads: int) -> LayerWork:
    """A product of two activations per head; the second one counts as weights that take no storage."""
    macs = rows * inner * columns * heads
    return LayerWork(
        layer=layer,
        macs=macs,
        nonzero_macs=macs,
        inputs=(rows + columns) * inner * heads,
        outputs=rows * columns * heads,
        channels=columns,
        groups=heads,
        fan_in=inner,
    )


def _alexnet() -> Iterator[LayerWork]:
    yield convolution("CONV1", 3, 96, 11, 55, stride=4)
    yield convolution("CONV2", 96, 256, 5, 27, groups=2)
    yield convolution("CONV3", 256, 384, 3, 13)
    yield convolution("CONV4", 384, 384, 3, 13, groups=2)
    yield convolution("CONV5", 384, 256, 3, 13, groups=2)


def _vgg16() -> Iterator[LayerWork]:
    channels, size = 3, 224
    for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for number in range(1, depth + 1):
            yield convolution(f"conv{block}_{number}", channels, width, 3, size)
            yield elementwise(f"relu{block}_{number}", width * size * size)
            channels = width
        size //= 2
        yield elementwise(f"pool{block}", width * size * size, 4, inputs=4 * width * size * size)
    for number, (inputs, outputs) in enumerate(((512 * 49, 4096), (4096, 4096), (4096, 1000)), start=6):
        yield dense(f"fc{number}", inputs, outputs)


def _resnet20() -> Iterator[LayerWork]:
    yield convolution("conv1", 3, 16, 3, 32)
    yield elementwise("relu1", 16 * 32 * 32)
    channels, size = 16, 32
    for stage, width in enumerate((16, 32, 64), start=1):
        for block in range(1, 4):
            stride = 2 if width != channels else 1
            size //= stride
            name = f"stage{stage}.{block}"
            yield convolution(f"{name}.conv1", channels, width, 3, size, stride=stride)
            yield elementwise(f"{name}.relu1", width * size * size)
            yield convolution(f"{name}.conv2", width, width, 3, size)
            if stride > 1:
                yield convolution(f"{name}.shortcut", channels, width, 1, size, stride=stride)
            yield elementwise(f"{name}.add", width * size * size, inputs=2 * width * size * size)
            yield elementwise(f"{name}.relu2", width * size * size)
            channels = width
    yield elementwise("pool", 64, 64, inputs=64 * 64)
    yield dense("fc", 64, 10)


def vision_transformer(
    *, patch: int, tokens: int, patches: int, width: int, heads: int, depth: int, hidden: int, classes: int
) -> Iterator[LayerWork]:
    """Blocks of attention and two dense layers. Layers have the names of the zoo's modules.

    patch: numbers in one of `patches` patches. Query, key and value are three layers; an implementation that fuses them
    reads the inputs once instead of three times. The additions of positions and residuals are not counted.
    """
    yield dense("embedding.projection", patch, width, positions=patches)
    for block in range(depth):
        name = f"blocks.{block}"
        yield elementwise(f"{name}.attention_norm", tokens * width, NORMALIZE_OPS)
        for projection in ("query", "key", "value"):
            yield dense(f"{name}.attention.{projection}", width, width, positions=tokens)
        yield product(f"{name}.attention.scores", tokens, width // heads, tokens, heads)
        yield elementwise(f"{name}.attention.softmax", heads * tokens * tokens, SOFTMAX_OPS)
        yield product(f"{name}.attention.mix", tokens, tokens, width // heads, heads)
        yield dense(f"{name}.attention.output", width, width, positions=tokens)
        yield elementwise(f"{name}.dense_norm", tokens * width, NORMALIZE_OPS)
        yield dense(f"{name}.expand", width, hidden, positions=tokens)
        yield elementwise(f"{name}.activation", tokens * hidden, GELU_OPS)
        yield dense(f"{name}.contract", hidden, width, positions=tokens)
    yield elementwise("norm", tokens * width, NORMALIZE_OPS)
    yield dense("head", width, classes)


def _deit(width: int, heads: int) -> Iterator[LayerWork]:
    """A DeiT with its class token."""
    return vision_transformer(
        patch=3 * 16 * 16, tokens=197, patches=196, width=width, heads=heads, depth=12, hidden=4 * width, classes=1000
    )


SHAPES: Mapping[str, Callable[[], Iterator[LayerWork]]] = MappingProxyType(
    {
        "alexnet": _alexnet,
        "deit-b": lambda: _deit(768, 12),
        "deit-s": lambda: _deit(384, 6),
        "resnet20": _resnet20,
        "vgg16": _vgg16,
    }
)


def shape_workload(name: str) -> PlainWorkload:
    """The work in clear of a network that is known by its shapes.

    Raises: CostModelError for an unknown name.
    """
    if name not in SHAPES:
        raise CostModelError(f"shape '{name}' is unknown; use one of {', '.join(SHAPES)}")
    return PlainWorkload(tuple(SHAPES[name]()))
