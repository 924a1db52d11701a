"""The steps of the container file, one by one in an empty folder, since a test cannot count on a container daemon.

Checked: that what it copies is all that the package is built from, that its entry point serves a bundle, that its
health check says so, that a client gets an answer, and that SIGTERM stops it. Not checked: the base image, the user,
and the download of the dependencies, which are those of this installation.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sysconfig
import time
import venv
from pathlib import Path

import numpy as np
import pytest
import yaml

import cipherpress as cp
from secure.bundle.files import save_bundle
from tests.secure.plans import small_bundle

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "service_demo"
PATIENCE_S = 600


def steps(word: str) -> list[str]:
    """What follows a word in the container file, line by line."""
    text = (DEMO / "Containerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(f"{word} ")]


def test_compose_builds_the_container_file_that_is_there() -> None:
    service = yaml.safe_load((DEMO / "compose.yaml").read_text())["services"]["cipherpress"]
    context = (DEMO / service["build"]["context"]).resolve()
    assert (context, (context / service["build"]["dockerfile"]).is_file()) == (ROOT, True)
    (port,) = steps("EXPOSE")
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert service["command"][0] == json.loads(steps("CMD")[0])[0]
    assert {volume.split(":")[1] for volume in service["volumes"]} >= set(steps("VOLUME"))


@pytest.mark.slow
def test_the_steps_of_the_container_file_give_a_server(tmp_path: Path) -> None:
    for copied in steps("COPY"):
        *sources, target = copied.split()
        for source in sources:
            goes = tmp_path / target.strip("/") / ("" if len(sources) == 1 else source)
            goes.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, goes)
    venv.create(tmp_path / "venv", with_pip=True)
    python, cipherpress = (tmp_path / "venv" / "bin" / name for name in ("python", "cipherpress"))
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for old in (*site.glob("setuptools*"), site / "distutils-precedence.pth"):  # of Python; the builder's own is newer
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (install,) = (line for line in steps("RUN") if line.startswith("pip install"))
    assert install.split(" && ") == [install.split(" && ")[0], "rm -r /src"]
    asked = install.split(" && ")[0].split('"')[1].replace("/src", str(tmp_path / "src"))
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed", "--quiet")
    subprocess.run([python, "-m", "pip", "install", *options, asked], check=True, cwd=tmp_path)
    shutil.rmtree(tmp_path / "src")
    found = subprocess.run(
        [python, "-c", "import cipherpress; print(cipherpress.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()).is_relative_to(site), found.stderr

    save_bundle(small_bundle(), tmp_path / "bundles" / "bundle")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    here = {"cipherpress": str(cipherpress), "/data": str(tmp_path / "data"), "8000": str(port)}
    here |= {"/bundles/bundle": str(tmp_path / "bundles" / "bundle"), "0.0.0.0": "127.0.0.1", "python": str(python)}
    command = [here.get(word, word) for word in json.loads(steps("ENTRYPOINT")[0]) + json.loads(steps("CMD")[0])]
    check = [here.get(word, word) for word in json.loads(steps("HEALTHCHECK")[0].partition("CMD ")[2])]
    check[-1] = check[-1].replace(":8000/", f":{port}/")
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        ends = time.monotonic() + PATIENCE_S
        while subprocess.run(check, capture_output=True, cwd=tmp_path).returncode:
            assert server.poll() is None and time.monotonic() < ends, (tmp_path / "log").read_text()
            time.sleep(0.5)
        with cp.RemoteClient(f"http://127.0.0.1:{port}") as remote:
            assert remote.predict(np.zeros((4, 8))).shape == (2, 5)
        server.terminate()
        assert server.wait(60) == 0, (tmp_path / "log").read_text()
    finally:
        server.kill()
        server.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert list((tmp_path / "data" / "keys").rglob("*.key")), "keys are in the volume"
