"""Rules for softmax inside the network, as attention has it, and for what conversion puts in its place."""

from __future__ import annotations

from torch import fx

from compress.graph import rules
from compress.graph.building import Builder
from compress.graph.composite import FittedSoftmax


def softmax(build: Builder, node: fx.Node) -> None:
    """At the end it is left out; in attention conversion replaces it by a linear map of the scores."""
    last = all(user.op == "output" for user in node.users)
    features = build.trace.values[node].ndim == 2
    if last or features or "log" in build.trace.operation(node).lower():
        rules.softmax(build, node)
    else:
        build.append(node, "softmax", module=build.module_of(node))


def fitted_softmax(build: Builder, node: fx.Node) -> None:
    """What conversion made of such a softmax: a factor per head and a shift per score."""
    module = build.module_of(node)
    assert isinstance(module, FittedSoftmax)
    build.append(node, "affine", scale=build.array(module.scale), shift=build.array(module.shift))
