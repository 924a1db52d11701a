"""client.json of a bundle for throughput, and what it may say. A client believes none of it.

Every limit follows from the parameters, which `secure.params.check_security` has checked before:

params                 no special prime, since no key is switched; primes that the client's arithmetic takes
input_scale            the largest input must not be encoded as zero, and must fit the modulus
output_scales          at most N times the modulus: a slot is at most N / 2 times the largest coefficient
predicted_logit_error  at least half of what a fresh encryption alone does at the largest output scale, and at most what
                       the modulus holds
read_inputs            ascending numbers of features
units                  numbers whose encoding fits the modulus
upload_bits_dropped    only with a single prime, and fewer bits than it has
block                  a request of one block has a bounded size, whatever the shapes say
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, isfinite, log2, prod, sqrt
from typing import Any

import numpy as np

from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.client_parts import (
    CLIENT_KIND,
    LEAST_UNIT,
    MODE,
    MOST_DIMENSIONS,
    MOST_FEATURES,
    MOST_UNITS,
    THROUGHPUT,
    VERSION,
    ends_fault,
    ends_json,
    is_sha256,
    params_json,
    read_ends,
    read_input_shape,
    read_params,
    read_read_inputs,
    read_units,
    shapes_fault,
)
from secure.bundle.fields import Fields
from secure.bundle.interface import read_interface
from secure.coded.dry import MOST_PARTS
from secure.coded.plan import FRESH_PARTS
from secure.params import ENGINE_PRIME_BITS, MAX_PRIME_BITS, check_security

#: The most outputs of a network: what one block of answers may hold.
MOST_OUTPUTS = 2**16
#: The most bytes of a block's request or reply, at whole bits for every residue.
MOST_BLOCK_BYTES = 4 * 2**30
#: An input whose largest value is encoded as less than this is encoded as zero.
LEAST_ENCODED = 0.5
#: The share of a fresh encryption's error that a predicted error must reach.
LEAST_ERROR_SHARE = 0.5


def batch_client_json(spec: BatchClientSpec) -> dict[str, Any]:
    """The content of client.json."""
    return {
        "kind": CLIENT_KIND,
        "version": VERSION,
        MODE: THROUGHPUT,
        "bundle_id": spec.bundle_id,
        "params": params_json(spec.params),
        "input_shape": list(spec.input_shape),
        "input_scale": spec.input_scale,
        "input_low": ends_json(spec.input_low),
        "input_high": ends_json(spec.input_high),
        "output_shape": list(spec.output_shape),
        "output_scales": ends_json(spec.output_scales),
        "reply_parts": spec.reply_parts,
        "predicted_logit_error": spec.predicted_logit_error,
        "upload_bits_dropped": spec.upload_bits_dropped,
        **({"units": list(spec.units)} if spec.units else {}),
        **({"read_inputs": list(spec.read_inputs)} if spec.read_inputs else {}),
        **({"interface": interface} if (interface := spec.interface.as_json()) else {}),
    }


def read_batch_client(fields: Fields) -> BatchClientSpec:
    """The client's part, every field in its range.

    Raises: FormatError naming the field, InsecureParametersError.
    """
    params = read_params(fields.inner("params"))
    check_security(params)
    input_shape = read_input_shape(fields)
    output_shape = fields.integers("output_shape", 1, MOST_FEATURES, least=1, most=MOST_DIMENSIONS)
    if prod(output_shape) > MOST_OUTPUTS:
        raise fields.wrong("output_shape", f"sizes whose product is at most {MOST_OUTPUTS}")
    spec = BatchClientSpec(
        bundle_id=fields.text("bundle_id"),
        params=params,
        input_shape=input_shape,
        input_scale=fields.number("input_scale"),
        input_low=read_ends(fields, "input_low", prod(input_shape)),
        input_high=read_ends(fields, "input_high", prod(input_shape)),
        output_shape=output_shape,
        output_scales=read_ends(fields, "output_scales", prod(output_shape)),
        reply_parts=fields.integer("reply_parts", FRESH_PARTS, MOST_PARTS),
        predicted_logit_error=fields.number("predicted_logit_error"),
        upload_bits_dropped=fields.integer("upload_bits_dropped", 0, MAX_PRIME_BITS),
        units=read_units(fields),
        read_inputs=read_read_inputs(fields, prod(input_shape)),
        interface=read_interface(fields, input_shape, output_shape),
    )
    fault = batch_client_fault(spec)
    if fault is not None:
        raise fields.wrong(*fault)
    return spec


def batch_client_fault(spec: BatchClientSpec) -> tuple[str, str] | None:
    """(the first field that is out of range, what is allowed); None if all are in range.

    Types and the security of the parameters must have been checked.
    """
    shapes = shapes_fault(spec.input_shape, spec.output_shape)
    if shapes is not None:
        return shapes
    for check in (_binding, _input, _outputs, _block, _error):
        fault = check(spec)
        if fault is not None:
            return fault
    return None


def least_batch_error(spec: BatchClientSpec) -> float:
    """The least predicted error that is believed, in the outputs' units.

    What a plan does to the integers makes the error of a fresh encryption larger, never smaller.
    """
    from secure.noise import BOUND_SIGMAS, fresh_real_variance  # loads scipy, which a server that starts does not need

    fresh = BOUND_SIGMAS * sqrt(fresh_real_variance(spec.params.poly_modulus_degree))
    return LEAST_ERROR_SHARE * fresh / float(spec.output_scales.max())


def _binding(spec: BatchClientSpec) -> tuple[str, str] | None:
    if not is_sha256(spec.bundle_id):
        return "bundle_id", "a sha256 in 64 hex digits"
    if spec.params.special_prime is not None:
        return "params", "no special prime, since a plan for throughput switches no key"
    if not spec.params.fits_engine:
        return "params", f"primes of at most {ENGINE_PRIME_BITS} bits"
    most = spec.params.coeff_modulus_bits[0] - 2 if spec.params.levels == 1 else 0
    if not 0 <= spec.upload_bits_dropped <= most:
        return "upload_bits_dropped", f"0 to {most} with these primes"
    return None


def _input(spec: BatchClientSpec) -> tuple[str, str] | None:
    low, high = spec.input_low, spec.input_high
    fault = ends_fault(low, high, prod(spec.input_shape))
    if fault is not None:
        return fault
    largest = float(max(np.abs(low).max(), np.abs(high).max()))
    if not (isfinite(spec.input_scale) and spec.input_scale > 0) or not (
        log2(LEAST_ENCODED) <= log2(spec.input_scale) + log2(largest) <= spec.params.log2_qp
    ):
        return "input_scale", f"a factor that brings an input of {largest:g} above {LEAST_ENCODED} and into the modulus"
    read, size = spec.read_inputs, prod(spec.input_shape)
    if read and not (0 <= read[0] and read[-1] < size and all(a < b for a, b in pairwise(read))):
        return "read_inputs", f"ascending numbers below {size}"
    most = 2.0 ** min(spec.params.log2_qp, 1000.0) / spec.input_scale
    if len(spec.units) > MOST_UNITS or not all(LEAST_UNIT <= unit <= most for unit in spec.units):
        return "units", f"at most {MOST_UNITS} numbers from {LEAST_UNIT:g} to {most:g}"
    return None


def _outputs(spec: BatchClientSpec) -> tuple[str, str] | None:
    size, scales = prod(spec.output_shape), spec.output_scales
    most = spec.params.log2_qp + log2(spec.params.poly_modulus_degree)
    if scales.shape != (size,) or not (np.isfinite(scales).all() and (scales > 0).all()):
        return "output_scales", f"a number above 0, or {size} of them"
    if not float(np.log2(scales).max()) <= most:
        return "output_scales", f"above 0, at most 2^{most:.1f}"
    if not FRESH_PARTS <= spec.reply_parts <= MOST_PARTS:
        return "reply_parts", f"a whole number from {FRESH_PARTS} to {MOST_PARTS}"
    return None


def _block(spec: BatchClientSpec) -> tuple[str, str] | None:
    params = spec.params
    residue_bytes = sum(params.coeff_modulus_bits) / 8 * params.poly_modulus_degree
    for name, polynomials in (
        ("input_shape", spec.inputs),
        ("output_shape", prod(spec.output_shape) * spec.reply_parts),
    ):
        if ceil(polynomials * residue_bytes) > MOST_BLOCK_BYTES:
            return name, f"sizes of which a block takes at most {MOST_BLOCK_BYTES} bytes"
    return None


def _error(spec: BatchClientSpec) -> tuple[str, str] | None:
    least, error, params = least_batch_error(spec), spec.predicted_logit_error, spec.params
    most = params.log2_qp + log2(params.poly_modulus_degree) - log2(float(spec.output_scales.min()))
    if not (isfinite(error) and error >= least and log2(error) <= max(most, log2(least) + 1)):
        return "predicted_logit_error", f"at least {least:.3g}, which a fresh encryption does, and at most 2^{most:.1f}"
    return None
