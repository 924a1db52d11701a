"""What a client's part may say. A client believes none of it: whoever can alter the file would choose its numbers.

Every limit follows from the parameters, which `secure.params.check_security` has checked before:

input_scale            the largest input must not be encoded as zero, and must fit the modulus of its level
output_scales          at most N times the modulus of its level: a slot is at most N / 2 times the largest coefficient
predicted_logit_error  at least half of what a fresh encryption alone does at the least output scale. `release` adds
                       noise in proportion to it, so a smaller one would leave the encryption's noise bare. At most
                       what the modulus holds
"""

from __future__ import annotations

from math import isfinite, log2, prod, sqrt

import numpy as np

from secure.bundle.client_parts import ends_fault, is_sha256, shapes_fault
from secure.bundle.specs import ClientSpec
from secure.params import ENGINE_PRIME_BITS

#: The most ciphertexts of a request or reply: what a container carries.
MOST_CIPHERTEXTS = 4096
#: An input whose largest value is encoded as less than this is encoded as zero.
LEAST_ENCODED = 0.5
#: The share of a fresh encryption's error that a predicted error must reach. The bound is six standard deviations of
#: what is at least a fresh encryption; half leaves room for rounding.
LEAST_ERROR_SHARE = 0.5


def client_fault(spec: ClientSpec) -> tuple[str, str] | None:
    """(the first field that is out of range, what is allowed); None if all are in range.

    Types and the security of the parameters must have been checked.
    """
    shapes = shapes_fault(spec.input_shape, spec.output_shape)
    if shapes is not None:
        return shapes
    for check in (_keys, _input, _outputs, _error):
        fault = check(spec)
        if fault is not None:
            return fault
    return None


def least_error(spec: ClientSpec) -> float:
    """The least predicted error that is believed, in the outputs' units."""
    from secure.noise import BOUND_SIGMAS, fresh_real_variance  # loads scipy, which a server that starts does not need

    fresh = BOUND_SIGMAS * sqrt(fresh_real_variance(spec.params.poly_modulus_degree))
    return LEAST_ERROR_SHARE * fresh / min(spec.output_scales)


def _keys(spec: ClientSpec) -> tuple[str, str] | None:
    degree, elements = spec.params.poly_modulus_degree, spec.keys.galois_elements
    if not is_sha256(spec.bundle_id):
        return "bundle_id", "a sha256 in 64 hex digits"
    if not all(element % 2 == 1 and 1 < element < 2 * degree for element in elements):
        return "galois_elements", f"Galois elements of N={degree}, which are odd numbers from 3 to {2 * degree - 1}"
    if len(set(elements)) != len(elements):
        return "galois_elements", "every Galois element once"
    if spec.params.special_prime is None and (elements or spec.keys.relinearize):
        return "relinearize" if spec.keys.relinearize else "galois_elements", "no keys without a special prime"
    return _key_levels(spec)


def _key_levels(spec: ClientSpec) -> tuple[str, str] | None:
    params, keys = spec.params, spec.keys
    name = "galois_levels" if len(keys.galois_levels) != len(keys.galois_elements) else "relin_level"
    if (keys.levels or params.is_hybrid) and not keys.has_levels:
        return name, "a level for every key, or where key switches are not hybrid none at all"
    if not all(1 <= level <= params.levels for level in keys.levels):
        return name, f"levels from 1 to {params.levels}"
    if keys.levels and not params.fits_engine:
        return name, f"none with primes of more than {ENGINE_PRIME_BITS} bits"
    return None


def _input(spec: ClientSpec) -> tuple[str, str] | None:
    slots, size, places = spec.params.slots, prod(spec.input_shape), spec.input_slots
    if (
        places.ndim != 3
        or not 1 <= places.shape[0] <= MOST_CIPHERTEXTS
        or places.shape[1] not in (1, 2)
        or places.shape[2] != slots
        or not (-1 <= places.min() and 0 <= places.max() < size)
    ):
        return "input_slots", f"features of an input of shape {spec.input_shape}, or -1, in {slots} slots"
    if not 1 <= spec.input_level <= spec.params.levels:
        return "input_level", f"1 to {spec.params.levels}"
    low, high = spec.input_low, spec.input_high
    fault = ends_fault(low, high, size)
    if fault is not None:
        return fault
    largest = float(max(np.abs(low).max(), np.abs(high).max()))
    if not (isfinite(spec.input_scale) and spec.input_scale > 0) or not (
        log2(LEAST_ENCODED) <= log2(spec.input_scale) + log2(largest) <= spec.params.log2_modulus(spec.input_level)
    ):
        return "input_scale", f"a factor that brings an input of {largest:g} above {LEAST_ENCODED} and into the modulus"
    return None


def _outputs(spec: ClientSpec) -> tuple[str, str] | None:
    params, places, count = spec.params, spec.output_slots, len(spec.output_scales)
    if not 1 <= count <= MOST_CIPHERTEXTS:
        return "output_scales", f"1 to {MOST_CIPHERTEXTS} numbers"
    if len(spec.output_levels) != count or not all(1 <= level <= spec.input_level for level in spec.output_levels):
        return "output_levels", f"{count} levels from 1 to the input's, {spec.input_level}"
    for level, scale in zip(spec.output_levels, spec.output_scales, strict=True):
        most = params.log2_modulus(level) + log2(params.poly_modulus_degree)
        if not (isfinite(scale) and scale > 0 and log2(scale) <= most):
            return "output_scales", f"above 0, and at level {level} at most 2^{most:.1f}"
    size = prod(spec.output_shape)
    if places.shape != (size, 2) or not np.all((places >= 0) & (places < [count, params.slots])):
        return "output_slots", f"{size} places, each a ciphertext below {count} and a slot below {params.slots}"
    if len(np.unique(places, axis=0)) != size:
        return "output_slots", "a place of its own for every output"
    return None


def _error(spec: ClientSpec) -> tuple[str, str] | None:
    least, error = least_error(spec), spec.predicted_logit_error
    degree = spec.params.poly_modulus_degree
    most = min(
        spec.params.log2_modulus(level) + log2(degree) - log2(scale)
        for level, scale in zip(spec.output_levels, spec.output_scales, strict=True)
    )
    if not (isfinite(error) and error >= least and log2(error) <= max(most, log2(least) + 1)):
        return "predicted_logit_error", f"at least {least:.3g}, which a fresh encryption does, and at most 2^{most:.1f}"
    if not spec.error_grows_beyond > 0:
        return "error_grows_beyond", "a number above 0"
    return None
