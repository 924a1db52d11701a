"""What a server offers of each bundle: its client part, what requests look like, and how large they may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from cipherpress.service.settings import MIB
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.client_file import client_digest, load_client
from secure.bundle.client_parts import CLIENT_FILE, LATENCY, THROUGHPUT
from secure.bundle.specs import ClientSpec
from secure.parties.container import HASH_BYTES, HEADER
from secure.seal.context import RESIDUE_BYTES
from secure.seal.sizes import keys_memory_bytes
from secure.streams.frames import request_layout

#: For headers, seeds and the checksums of SEAL's frames, of one ciphertext.
SLACK_BYTES = 2048
PLATFORM = "cipherpress_ckks"


@dataclass(frozen=True)
class Offer:
    """One model. client_part: the bytes of client.json. digest: the client's digest of what it says.

    most_request_bytes, most_key_bytes: of a request, and of an evaluation key (0 where none is needed), at most.
    most_images: of a request, at most.
    """

    name: str
    spec: ClientSpec | BatchClientSpec
    client_part: bytes
    digest: str
    most_request_bytes: int
    most_key_bytes: int
    most_images: int = 1

    @property
    def batches(self) -> bool:
        return isinstance(self.spec, BatchClientSpec)

    def metadata(self) -> dict[str, Any]:
        """As the Open Inference Protocol has it. What is special of encrypted models is in `parameters`."""
        return {
            "name": self.name,
            "versions": [self.spec.bundle_id[:12]],
            "platform": PLATFORM,
            "inputs": [{"name": "request", "datatype": "BYTES", "shape": [1]}],
            "outputs": [{"name": "reply", "datatype": "BYTES", "shape": [1]}],
            "parameters": {
                "mode": THROUGHPUT if self.batches else LATENCY,
                "bundle_id": self.spec.bundle_id,
                "client_digest": self.digest,
                "client_part": f"/v2/models/{self.name}/client",
                "client_part_bytes": len(self.client_part),
                "input_shape": list(self.spec.input_shape),
                "output_shape": list(self.spec.output_shape),
                "max_request_bytes": self.most_request_bytes,
                "max_key_bytes": self.most_key_bytes,
                "needs_key": not self.batches,
                "max_images": self.most_images,
            },
        }


def read_offers(bundles: Mapping[str, Path], batch_blocks: int) -> dict[str, Offer]:
    """The offers of bundles by their names.

    Raises: FormatError, InsecureParametersError; OSError.
    """
    return {name: _offer(name, folder, batch_blocks) for name, folder in bundles.items()}


def _offer(name: str, folder: Path, batch_blocks: int) -> Offer:
    spec, content = load_client(folder), (folder / CLIENT_FILE).read_bytes()
    if isinstance(spec, BatchClientSpec):
        layout = request_layout(spec.bundle_id, spec.params, prod(spec.input_shape), spec.upload_bits_dropped)
        request_bytes, key_bytes, images = batch_blocks * layout.frame_bytes, 0, batch_blocks * layout.block_images
    else:
        params, count, images = spec.params, len(spec.input_slots), 1
        one_bytes = 8 + spec.input_level * params.poly_modulus_degree * RESIDUE_BYTES + SLACK_BYTES
        request_bytes = HEADER.size + count * one_bytes + HASH_BYTES
        key_bytes = keys_memory_bytes(params, spec.keys.whole) + MIB
    return Offer(name, spec, content, client_digest(spec), request_bytes, key_bytes, images)
