"""Every type of artifact that is mutated, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fuzz import batches, folders, handlers, messages
from tests.fuzz.trial import Case

MakeCase = Callable[[Path], Case]

FOLDERS: Mapping[str, MakeCase] = {
    "network": folders.networks,
    "compressed model": folders.compressed_models,
    "trained weights": folders.trained_weights,
    "bundle": folders.bundles,
    "batch bundle": folders.batch_bundles,
    "batch bundle with units": folders.batch_bundles_with_units,
    "architecture": folders.architectures,
    "kernel times": folders.kernel_times,
    "data": folders.data_sets,
}

#: Containers, each offered to the party that reads it, and to the service.
CONTAINERS: Mapping[str, MakeCase] = {
    "evaluation key": messages.evaluation_keys,
    "packed evaluation key": messages.packed_keys,
    "secret key": messages.secret_keys,
    "request": messages.requests,
    "request by SEAL": messages.requests_by_seal,
    "reply": messages.replies,
    "reply by SEAL": messages.replies_by_seal,
    "batch request": batches.requests,
    "batch reply": batches.replies,
    "served key": handlers.served_keys,
    "served request": handlers.served_requests,
    "served batch": handlers.served_batches,
}

#: Errors that a container may be refused with; anything else is of the wrong type.
CONTAINER_ERRORS = frozenset({"FormatError", "KeyMismatchError", "KeyNotRegisteredError", "SecretKeyError"})
