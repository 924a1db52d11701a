"""client.json: what a client needs. Every field is checked when it is read, since a client can trust nobody's file.

The fields of a bundle for throughput are in `secure.bundle.batch_client`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.artifact import json_bytes, read_json
from compress.errors import FormatError
from secure.bundle.batch_client import batch_client_json, read_batch_client
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.client_checks import MOST_CIPHERTEXTS, client_fault
from secure.bundle.client_parts import (
    CLIENT_FILE,
    CLIENT_KIND,
    MOST_DIMENSIONS,
    MOST_FEATURES,
    THROUGHPUT,
    VERSION,
    ends_json,
    params_json,
    read_ends,
    read_input_shape,
    read_mode,
    read_params,
)
from secure.bundle.fields import Fields
from secure.bundle.interface import read_interface
from secure.bundle.specs import ClientSpec
from secure.params import Params, check_security
from secure.plan import KeyManifest

#: The largest slot map that is decompressed. A compiler writes smaller ones; a larger one would be an attack.
MAX_MAP_BYTES = 4 * MOST_FEATURES


def load_client(folder: str | Path) -> ClientSpec | BatchClientSpec:
    """The client's part alone, every field in its range (`client_checks` and `batch_client` of `secure.bundle`).

    Raises: FormatError naming the field, InsecureParametersError.
    """
    path = Path(folder) / CLIENT_FILE
    fields = Fields(str(path), read_json(path, kind=CLIENT_KIND, version=VERSION))
    return read_batch_client(fields) if read_mode(fields) == THROUGHPUT else _read_client(fields)


def _read_client(fields: Fields) -> ClientSpec:
    params = read_params(fields.inner("params"))
    check_security(params)
    input_shape = read_input_shape(fields)
    spec = ClientSpec(
        bundle_id=fields.text("bundle_id"),
        params=params,
        keys=_read_keys(fields, params),
        input_shape=input_shape,
        input_slots=_read_map(fields, "input_slots"),
        input_level=fields.integer("input_level", 1, params.levels),
        input_scale=fields.number("input_scale"),
        input_low=read_ends(fields, "input_low", prod(input_shape)),
        input_high=read_ends(fields, "input_high", prod(input_shape)),
        output_shape=fields.integers("output_shape", 1, MOST_FEATURES, least=1, most=MOST_DIMENSIONS),
        output_slots=_read_map(fields, "output_slots"),
        output_levels=fields.integers("output_levels", 1, params.levels, least=1, most=MOST_CIPHERTEXTS),
        output_scales=fields.numbers("output_scales", least=1, most=MOST_CIPHERTEXTS),
        predicted_logit_error=fields.number("predicted_logit_error"),
        output_folds=_read_folds(fields, params.slots),
        error_grows_beyond=fields.number("error_grows_beyond") if "error_grows_beyond" in fields.values else inf,
    )
    spec = replace(spec, interface=read_interface(fields, spec.input_shape, spec.output_shape))
    fault = client_fault(spec)
    if fault is not None:
        raise fields.wrong(*fault)
    return spec


def client_json(spec: ClientSpec | BatchClientSpec) -> dict[str, Any]:
    """The content of client.json."""
    if isinstance(spec, BatchClientSpec):
        return batch_client_json(spec)
    return {
        **_plain_json(spec),
        "input_slots": _pack_map(spec.input_slots),
        "output_slots": _pack_map(spec.output_slots),
    }


def client_digest(spec: ClientSpec | BatchClientSpec) -> str:
    """sha256 (hex) over all that client.json says. It does not depend on how the slot maps are compressed."""
    if isinstance(spec, BatchClientSpec):
        return hashlib.sha256(json_bytes(batch_client_json(spec))).hexdigest()
    maps = {name: _map_digest(getattr(spec, name)) for name in ("input_slots", "output_slots")}
    return hashlib.sha256(json_bytes({**_plain_json(spec), **maps})).hexdigest()


def _plain_json(spec: ClientSpec) -> dict[str, Any]:
    """All of client.json but the slot maps."""
    return {
        "kind": CLIENT_KIND,
        "version": VERSION,
        "bundle_id": spec.bundle_id,
        "params": params_json(spec.params),
        "galois_elements": list(spec.keys.galois_elements),
        "relinearize": spec.keys.relinearize,
        **({"galois_levels": list(spec.keys.galois_levels)} if spec.keys.galois_levels else {}),
        **({"relin_level": spec.keys.relin_level} if spec.keys.relin_level else {}),
        "input_shape": list(spec.input_shape),
        "input_level": spec.input_level,
        "input_scale": spec.input_scale,
        "input_low": ends_json(spec.input_low),
        "input_high": ends_json(spec.input_high),
        "output_shape": list(spec.output_shape),
        "output_levels": list(spec.output_levels),
        "output_scales": list(spec.output_scales),
        "predicted_logit_error": spec.predicted_logit_error,
        **({"error_grows_beyond": spec.error_grows_beyond} if isfinite(spec.error_grows_beyond) else {}),
        **({"output_folds": list(spec.output_folds)} if spec.output_folds else {}),
        **({"interface": interface} if (interface := spec.interface.as_json()) else {}),
    }


def _read_keys(fields: Fields, params: Params) -> KeyManifest:
    """The keys that a client makes; whole ones for a file that does not name levels."""
    most = params.poly_modulus_degree
    elements = fields.integers("galois_elements", 0, 2 * most, most=most)
    keys = KeyManifest(elements, fields.boolean("relinearize"))
    if "galois_levels" in fields.values:
        keys = replace(keys, galois_levels=fields.integers("galois_levels", 1, params.levels, least=1, most=most))
    if "relin_level" in fields.values:
        keys = replace(keys, relin_level=fields.integer("relin_level", 1, params.levels))
    return keys


def _read_folds(fields: Fields, slots: int) -> tuple[int, ...]:
    """The folds of the client, each twice the one before it; none for a file that does not name them."""
    if "output_folds" not in fields.values:
        return ()
    folds = fields.integers("output_folds", 1, slots - 1, least=1, most=slots.bit_length())
    if any(later != 2 * earlier for earlier, later in pairwise(folds)):
        raise fields.wrong("output_folds", "rotations of which each is twice the one before it")
    return folds


def _map_digest(slots: NDArray[np.int32]) -> dict[str, Any]:
    content = np.ascontiguousarray(slots, dtype="<i4").tobytes()
    return {"shape": list(slots.shape), "sha256": hashlib.sha256(content).hexdigest()}


def _pack_map(slots: NDArray[np.int32]) -> dict[str, Any]:
    packed = zlib.compress(np.ascontiguousarray(slots, dtype="<i4").tobytes(), 9)
    return {"shape": list(slots.shape), "int32_zlib_base64": base64.b64encode(packed).decode()}


def _read_map(fields: Fields, name: str) -> NDArray[np.int32]:
    found = fields.inner(name)
    shape = found.integers("shape", 1, MOST_FEATURES, least=2, most=3)
    size_bytes = 4 * prod(shape)
    if size_bytes > MAX_MAP_BYTES:
        raise found.wrong("shape", f"sizes whose product is at most {MOST_FEATURES}")
    try:
        packed = base64.b64decode(found.text("int32_zlib_base64"), validate=True)
        content = zlib.decompressobj().decompress(packed, size_bytes + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise FormatError(f"{found.where} cannot be inflated ({error}); the file is altered") from error
    if len(content) != size_bytes:
        raise FormatError(f"{found.where} does not inflate to its shape, {list(shape)}; the file is altered")
    return np.frombuffer(content, dtype="<i4").reshape(shape).astype(np.int32)
