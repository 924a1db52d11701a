"""The second terminal: sends encrypted digits to a server over HTTP, and prints what they are.

    python examples/service_demo/client.py URL [IMAGES] [KEYS]

The server is `cipherpress serve BUNDLE`, with a bundle made by `cipherpress press mlp --data mnist -o BUNDLE`. The keys
are made in the folder KEYS at first use, and the secret key never leaves it. Ends with a line like `5 of 5 digits
right`.
"""

import sys

import cipherpress as cp


def main(url: str, images: int, keys: str) -> None:
    data = cp.load_data("mnist")
    right = 0
    with cp.RemoteClient(url, keys=keys) as remote:
        for image, label in zip(data.x_test[:images], data.y_test[:images], strict=True):
            answer = remote.predict(image).argmax()
            right += int(answer == label)
            print(f"digit {label}, answer {answer}")
    print(f"{right} of {images} digits right")


if __name__ == "__main__":
    main(
        sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5, sys.argv[3] if len(sys.argv) > 3 else "out/demo-keys"
    )
