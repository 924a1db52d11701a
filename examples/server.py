"""The server's program: answers encrypted requests that appear in a folder. It has no secret key and imports no torch.

    python examples/server.py FOLDER

Start it beside client.py on the same folder, in either order; it stops when the client is done. Of `FOLDER/bundle` it
reads `server/` alone. A request that is damaged or belongs to another bundle or key gets a line that says so instead
of a reply.
"""

import sys
import time
from pathlib import Path

import cipherpress as cp

PATIENCE_S = 300.0


def main(folder: Path) -> None:
    server = cp.Server(cp.load_server(folder / "bundle"))
    registered, answered = False, 0
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "done").exists():
        if time.monotonic() > deadline:
            sys.exit(f"no request in {folder} for {PATIENCE_S:.0f} s")
        if not registered and (folder / "evaluation.key").exists():
            try:
                server.register((folder / "evaluation.key").read_bytes())
            except cp.CipherpressError as error:
                sys.exit(f"evaluation.key refused: {type(error).__name__}: {error}")
            registered = True
        request = folder / f"{answered}.request.ct"
        if registered and request.exists():
            try:
                cp.write_file(folder / f"{answered}.reply.ct", server.run(request.read_bytes(), request.name))
            except cp.CipherpressError as error:
                cp.write_file(folder / f"{answered}.refused.txt", f"{type(error).__name__}: {error}".encode())
            answered += 1
            deadline = time.monotonic() + PATIENCE_S
        time.sleep(0.02)
    print(f"answered {answered} requests; torch loaded: {'torch' in sys.modules}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
