# %% [markdown]
# # What a server sees of a digit
#
# A digit goes encrypted to a server over HTTP, and its scores come back encrypted. The pictures show what each side
# has. Open this file as a notebook (VS Code, PyCharm, jupytext), or run it: it writes three pictures into FOLDER and
# ends with a line like `class 7, by a server that saw noise`. It takes about a minute, most of it for compiling a
# network that ships with the package; BUNDLE names the folder of another one for MNIST's digits.
#
#     python examples/service_demo/notebook.py [FOLDER] [BUNDLE]
#
# Needs the extras `service` and `plots`.

# %%
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import cipherpress as cp

given = [] if "ipykernel" in sys.modules else sys.argv[1:]
folder = Path(given[0] if given else "out/notebook")
bundle = given[1] if len(given) > 1 else "native-fast"
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The server
#
# A process of its own, as it would run on another machine. It has the network in clear, and no secret key.

# %%
command = [sys.executable, "-m", "cli", "serve", bundle, "--port", "0", "--json", "--data-dir", str(folder / "service")]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
url = json.loads(server.stdout.readline())["url"]
print(f"the server listens at {url}")

# %% [markdown]
# ## The keys
#
# `connect` fetches the network's client part and makes two keys. The secret key stays here. The evaluation key goes to
# the server: with it anybody can compute on ciphertexts, and nobody can read one.

# %%
image = cp.load_data("mnist").x_test[0]
remote = cp.RemoteClient(url, keys=folder / "keys").connect()
client = cp.Client(remote.spec, cp.SecretKey.from_bytes((folder / "keys" / "secret.key").read_bytes()))
sizes = {path.name: path.stat().st_size for path in sorted((folder / "keys").glob("*.key"))}
print(*(f"{name}: {size:,} bytes" for name, size in sizes.items()), sep="\n")

# %% [markdown]
# ## What leaves, and what comes back
#
# Both messages look like noise: every byte value is about as frequent as any other. `remote.predict(image)` does all
# three steps.

# %%
request = client.encrypt(image)
reply = remote.send(request)
scores = client.decrypt(reply)


def as_picture(content: bytes, width: int = 128) -> np.ndarray:
    """Bytes as rows of grey values."""
    rows = len(content) // width
    return np.frombuffer(content[: rows * width], dtype=np.uint8).reshape(rows, width)


figure, axes = plt.subplots(1, 3, figsize=(10, 4), layout="constrained")
pictures = {"the digit": image[0], f"sent: {len(request):,} bytes": as_picture(request)}
pictures[f"came back: {len(reply):,} bytes"] = as_picture(reply)
for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture, cmap="gray", aspect="auto")
    axis.set(title=title, xticks=[], yticks=[])
figure.savefig(folder / "ciphertext.png", dpi=120)

# %%
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.hist(np.frombuffer(request, dtype=np.uint8), bins=256, range=(0, 256), color="0.4")
axis.axhline(len(request) / 256, color="C1", label="all values alike")
axis.set(title="Bytes of the request", xlabel="value", ylabel="how often")
axis.legend()
figure.savefig(folder / "bytes.png", dpi=120)

# %% [markdown]
# ## The answer
#
# Only here, with the secret key, the reply becomes scores.

# %%
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.bar(range(len(scores)), scores, color=["C1" if one == scores.argmax() else "0.6" for one in range(len(scores))])
axis.set(title="The decrypted answer", xlabel="digit", ylabel="score", xticks=range(len(scores)))
figure.savefig(folder / "answer.png", dpi=120)

# %%
remote.close()
server.terminate()
server.wait()
print(f"class {scores.argmax()}, by a server that saw noise")
