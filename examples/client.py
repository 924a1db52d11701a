"""The client's program: makes keys, sends encrypted digits, reads the answers. Shares only a folder with server.py.

    python examples/client.py FOLDER [IMAGES]

FOLDER holds `bundle/`, made by `cipherpress press mlp --data mnist -o FOLDER/bundle`. Ends with a line like `5 of 5
digits right`.
"""

import sys
import time
from pathlib import Path

import cipherpress as cp

PATIENCE_S = 300.0


def wait_for(path: Path, refused: Path) -> bytes:
    """The file's content once it is there; files appear whole."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        if refused.exists():
            sys.exit(f"refused: {refused.read_text()}")
        if time.monotonic() > deadline:
            sys.exit(f"no answer {path}: is server.py running on the same folder?")
        time.sleep(0.02)
    return path.read_bytes()


def main(folder: Path, images: int) -> None:
    data = cp.load_data("mnist")
    client = cp.Client(cp.load_client(folder / "bundle"))  # the secret key never leaves this process
    cp.write_file(folder / "evaluation.key", client.evaluation_key.to_bytes(), force=True)
    right = 0
    for index in range(images):
        cp.write_file(folder / f"{index}.request.ct", client.encrypt(data.x_test[index]))
        scores = client.decrypt(wait_for(folder / f"{index}.reply.ct", folder / f"{index}.refused.txt"))
        right += int(scores.argmax() == data.y_test[index])
        print(f"digit {data.y_test[index]}, answer {scores.argmax()}")
    cp.write_file(folder / "done", b"")
    print(f"{right} of {images} digits right")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
