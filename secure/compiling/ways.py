"""The ways in which a network becomes stages; those that may win are planned, and the cheapest plan is taken. Pure."""

from __future__ import annotations

from enum import StrEnum

from compress.network import Multiply, Network
from secure.compiling.estimate import StageSize, stage_sizes
from secure.stages.stages import Stage, network_stages
from secure.stages.token_order import node_tokens
from secure.stages.tokens import token_stages
from secure.stages.trim import trimmed

#: A network of tokens with more multiply-adds than this is planned with values kept between its products alone:
#: combined with one another, its maps would take too long to lay out, and too many products to multiply.
MOST_COMBINED = 2_000_000


class Way(StrEnum):
    """How products of values are computed, and whether values are kept between them."""

    PRODUCTS = "products"  # as products of ciphertexts
    SQUARES = "squares"  # as differences of two squares
    TOKENS = "tokens"  # as products of ciphertexts, with kept values in the order of tokens


def ways_of(network: Network) -> tuple[Way, ...]:
    """The ways in which a network is planned."""
    if not any(isinstance(node, Multiply) for node in network.nodes):
        return (Way.SQUARES,)
    if node_tokens(network)[1] and sum(stage.entries for stage in stage_sizes(network)) > MOST_COMBINED:
        return (Way.TOKENS,)
    return (Way.PRODUCTS, Way.SQUARES)


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
