"""The benchmark's folders and files, from the suite's root, which is the working directory of every stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: Names of the sizes, by the number that a stage gets.
SIZES = ("single", "small", "medium", "large")
BUNDLE = Path(__file__).parents[1] / "bundle"


class Folders:
    """The files of one size."""

    def __init__(self, size: str, root: Path = Path()) -> None:
        io = root / "io" / size
        self.pixels = root / "datasets" / size / "intermediate" / "test_pixels.txt"
        self.public_keys = io / "public_keys"
        self.secret_key = io / "secret_key" / "secret.key"
        self.features = io / "intermediate" / "features.npy"
        self.request = io / "ciphertexts_upload" / "request.bin"
        self.reply = io / "ciphertexts_download" / "reply.bin"
        self.logits = io / "intermediate" / "logits.npy"
        self.steps = io / "server_reported_steps.json"
        self.predictions = io / "encrypted_model_predictions.txt"


def size_of(arguments: Sequence[str]) -> str:
    """The size that the arguments of a stage name: the first one that is a number of a size; without any, the least.

    Other arguments are for other versions of the harness.
    """
    numbers = [str(number) for number in range(len(SIZES))]
    return next((SIZES[int(argument)] for argument in arguments if argument in numbers), SIZES[0])
