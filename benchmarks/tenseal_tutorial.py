"""The tutorial's network by TenSEAL's public API: im2col encoding and matrix products of CKKS tensors, one thread."""

from __future__ import annotations

from typing import Any

import tenseal as ts
from safetensors.numpy import load_file

from benchmarks.train_tutorial import WEIGHTS

DEGREE, BITS, SCALE = 8192, [31, 26, 26, 26, 26, 26, 26, 31], 2**26
KERNEL, STRIDE = 7, 3


class Competitor:
    """One image at a time through `encrypt`, `run`, `decrypt`; sizes in bytes."""

    name = "TenSEAL, its tutorial's network"

    def __init__(self) -> None:
        weights = load_file(WEIGHTS / "tutorial.safetensors")
        self._kernels = [kernel[0].tolist() for kernel in weights["0.weight"]]
        self._kernel_bias = weights["0.bias"].tolist()
        self._fc1, self._fc1_bias = weights["3.weight"].T.tolist(), weights["3.bias"].tolist()
        self._fc2, self._fc2_bias = weights["5.weight"].T.tolist(), weights["5.bias"].tolist()
        self._context = ts.context(ts.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=BITS, n_threads=1)
        self._context.global_scale = SCALE
        self._context.generate_galois_keys()
        self._windows = 0

    def key_bytes(self) -> int:
        return len(self._context.serialize(save_secret_key=False))

    def encrypt(self, image: Any) -> Any:
        encoded, self._windows = ts.im2col_encoding(self._context, image[0].tolist(), KERNEL, KERNEL, STRIDE)
        return encoded

    def run(self, request: Any) -> Any:
        channels = [
            request.conv2d_im2col(kernel, self._windows) + bias
            for kernel, bias in zip(self._kernels, self._kernel_bias, strict=True)
        ]
        value = ts.CKKSVector.pack_vectors(channels)
        value.square_()
        value = value.mm(self._fc1) + self._fc1_bias
        value.square_()
        return value.mm(self._fc2) + self._fc2_bias

    def decrypt(self, reply: Any) -> list[float]:
        return [float(score) for score in reply.decrypt()]

    @staticmethod
    def size(ciphertext: Any) -> int:
        return len(ciphertext.serialize())
