"""Published laws of energy over bit width and technology node. Pure.

Energies at 45 nm and 0.9 V are from Horowitz, ISSCC 2014 (recalled; PMC8934428, table 3, confirms those for 32 bits).
An integer addition takes 0.03 / 0.05 / 0.1 pJ for 8 / 16 / 32 bits, an integer multiplication 0.2 / 3.1 pJ for 8 / 32
bits. The energy of a multiplier is E = e * b1 * b2 (the two points fit an exponent of 1.98). Adders, wires and bits of
SRAM are linear in bits. Between nodes, logic energy follows the factors below (recalled, a factor of 2 either way;
interpolated in log-log).
"""

from __future__ import annotations

from math import ceil, exp, log, log2, sqrt

from compress.errors import CostModelError
from hwmodel.band import Band

#: pJ of a multiplication per bit of one operand and bit of the other. The value fits 8 bits; the band holds both
#: points.
MULTIPLY_PJ_PER_BIT2 = Band(0.2 / 64, 3.1 / 1024, 0.2 / 64)
ADD_PJ_PER_BIT = Band(0.1 / 32, 0.05 / 16, 0.03 / 8)
#: Logic energy relative to 45 nm: node, low, high (recalled). The factors for 65 nm follow the slope E ~ node^1.
NODE_FACTORS = ((65.0, 1.2, 1.7), (45.0, 1.0, 1.0), (28.0, 0.5, 0.6), (16.0, 0.25, 0.35), (7.0, 0.10, 0.20))
#: A factor between nodes may be off by this factor either way.
NODE_BAND = 2.0


def multiply_energy_pj(first_bits: int, second_bits: int) -> Band:
    """Integer multiplication at 45 nm."""
    return MULTIPLY_PJ_PER_BIT2 * (first_bits * second_bits)


def mac_energy_pj(weight_bits: int, activation_bits: int, fan_in: int) -> Band:
    """Multiply-accumulate at 45 nm with an adder as wide as the sum needs: b_w + b_a + ceil(log2 fan_in) bits."""
    adder_bits = weight_bits + activation_bits + ceil(log2(max(1, fan_in)))
    return multiply_energy_pj(weight_bits, activation_bits) + ADD_PJ_PER_BIT * adder_bits


def node_factor(from_nm: float, to_nm: float) -> Band:
    """Logic energy at one node over that at another, with its band; exactly 1 for the same node.

    Raises: CostModelError for a node outside the table.
    """
    if from_nm == to_nm:
        return Band(1.0, 1.0, 1.0)
    value = _relative(to_nm) / _relative(from_nm)
    return Band(value, value / NODE_BAND, value * NODE_BAND)


def _relative(node_nm: float) -> float:
    """Energy relative to 45 nm: the geometric mean of the table's low and high, interpolated in log-log."""
    points = [(log(node), log(sqrt(low * high))) for node, low, high in NODE_FACTORS]
    if not NODE_FACTORS[-1][0] <= node_nm <= NODE_FACTORS[0][0]:
        raise CostModelError(
            f"node_nm: got {node_nm:g}; allowed: {NODE_FACTORS[-1][0]:g} to {NODE_FACTORS[0][0]:g}, "
            "the range of the published factors"
        )
    for (right, right_value), (left, left_value) in zip(points, points[1:], strict=False):
        if log(node_nm) >= left:
            return exp(left_value + (log(node_nm) - left) / (right - left) * (right_value - left_value))
    return exp(points[-1][1])
