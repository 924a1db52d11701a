"""Random phases: what the slots of a block are turned by in plans whose outputs are homogeneous.

Every image, its units included, is multiplied by a number of absolute value 1 of its own. An output of degree d comes
back turned by its d-th power, and is turned back (`secure.streams.unwrapping`). So the slots of an answer have
independent random phases, whatever the images are, and its coefficients are sums of many terms that cancel each other,
as those of noise do (`secure.throughput.magnitudes`).

Phases are drawn from the batch id, which is random and fresh, and from the number of the block. They are no secret:
nothing but the size of coefficients depends on them. So the answer of another process can be read with the secret key
alone.
"""

from __future__ import annotations

import struct
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from secure.bundle.batch_specs import BatchClientSpec
from secure.draws.chacha import keystream
from secure.streams.frames import FrameHead

Array = NDArray[np.float64]

_DOMAIN = b"cipherpress phases"


def phases(head: FrameHead) -> NDArray[np.complex128]:
    """(images,): the phase of every image of a block."""
    key = sha256(_DOMAIN + head.batch_id + struct.pack("<I", head.block)).digest()
    return np.asarray(np.exp(2j * np.pi / 2**32 * keystream(key, (0, 0, 0), head.images)))


def planes(spec: BatchClientSpec, images: Array, head: FrameHead) -> Array:
    """What is encoded of a block of images (images, features), of those that the plan reads: real slots
    (1, images, inputs), or for a plan with units (2, images, inputs): real and imaginary parts.

    The imaginary part i y of slot j is encoded as X^(N / 2) times the real slots (-1)^j y, since X^(N / 2) is
    (-1)^j i there (derived).
    """
    if spec.read_inputs:
        images = np.take(images, spec.read_inputs, axis=1)
    if not spec.units:
        return images[None]
    turns = phases(head)
    result = np.empty((2, len(images), spec.inputs))
    features = images.shape[1]
    result[0, :, :features], result[0, :, features:] = images, spec.units
    np.multiply(result[0], (turns.imag * (1 - 2 * (np.arange(len(images)) % 2)))[:, None], out=result[1])
    result[0] *= turns.real[:, None]
    return result


def answer_turns(spec: BatchClientSpec, head: FrameHead) -> NDArray[np.complex128]:
    """(N / 2,): what the answers in the slots of a block of a plan with units are turned by; 1 beyond its images."""
    turns = np.ones(spec.block_images, dtype=np.complex128)
    turns[: head.images] = phases(head) ** spec.answer_degree
    return turns
