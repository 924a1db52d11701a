"""The ways in which a network becomes stages; those that may win are planned, and the cheapest plan is taken. Pure."""

from __future__ import annotations

from enum import StrEnum

from compress.network import Multiply, Network
from secure.compiling.estimate import StageSize, stage_sizes
from secure.stages.stages import Stage, network_stages
from secure.stages.token_order import node_tokens
from secure.stages.tokens import token_stages
from secure.stages.trim import trimmed

#: A network of tokens with more multiply-adds than the first number is planned with values kept between its products
#: too, in place of squares; one with more than the second in this way alone. There, maps that are combined up to the
#: next product would take too long to lay out, and too many products to multiply. Of linear attention with 568,000,
#: kept values take half of the time of combined products, and squares 1.7 times as long as these.
FEWEST_KEPT, MOST_COMBINED = 300_000, 10_000_000


class Way(StrEnum):
    """How products of values are computed, and whether values are kept between them."""

    PRODUCTS = "products"  # as products of ciphertexts
    SQUARES = "squares"  # as differences of two squares
    TOKENS = "tokens"  # as products of ciphertexts, with kept values in the order of tokens


def ways_of(network: Network) -> tuple[Way, ...]:
    """The ways in which a network is planned."""
    if not any(isinstance(node, Multiply) for node in network.nodes):
        return (Way.SQUARES,)
    entries = sum(stage.entries for stage in stage_sizes(network)) if node_tokens(network)[1] else 0
    if entries > MOST_COMBINED:
        return (Way.TOKENS,)
    return (Way.PRODUCTS, Way.TOKENS if entries > FEWEST_KEPT else Way.SQUARES)


def stages_in(network: Network, way: Way) -> tuple[Stage, ...]:
    """The stages of a network, without units that nothing reads."""
    if way is Way.TOKENS:
        return trimmed(token_stages(network))
    return trimmed(network_stages(network, products=way is Way.PRODUCTS))


def planned_sizes(network: Network) -> tuple[StageSize, ...]:
    """The stages of a network, by their sizes alone where they are not built for it."""
    if ways_of(network) != (Way.TOKENS,):
        return stage_sizes(network)
    return tuple(
        StageSize(stage.layer, stage.size, float(sum(matrix.nnz for matrix in stage.maps.values())))
        for stage in token_stages(network)
    )
