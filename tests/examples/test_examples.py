"""The examples run, end with the line that they promise, and equal the code in the README."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cipherpress as cp

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HTTP_CLIENT = EXAMPLES / "service_demo" / "client.py"
LONGEST_LINES = 60
TIMEOUT_S = 240


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """An example as its own process, in another folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> str:
    """The last line of its output; the process must end with status 0."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    return out.strip().splitlines()[-1]


def until(process: subprocess.Popen[str], path: Path) -> None:
    """Wait until the running example has written the file."""
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of the zoo's mlp; polynomials are trained for one epoch, so that this takes seconds."""
    made = tmp_path_factory.mktemp("shared")
    bundle = cp.press(
        cp.load_model("mlp"),
        cp.load_data("mnist"),
        cp.Setting(finetune_epochs=0, convert_epochs=1),
        cp.Limits(max_error=2.0),
    )
    cp.save(bundle, made / "bundle")
    return made


def test_client_and_server_share_only_a_folder(folder: Path) -> None:
    server = start(EXAMPLES / "server.py", folder)
    client = start(EXAMPLES / "client.py", folder, "3")
    try:
        found = re.fullmatch(r"(\d) of 3 digits right", finish(client))
        assert found and int(found[1]) >= 2
        assert finish(server) == "answered 3 requests; torch loaded: False"
    finally:
        server.kill()
        server.wait()
    held = {path.name for path in folder.iterdir()} - {"bundle", "done"}
    assert held == {"evaluation.key", *(f"{i}.request.ct" for i in range(3)), *(f"{i}.reply.ct" for i in range(3))}


def test_the_notebook_draws_what_each_side_has(folder: Path, tmp_path: Path) -> None:
    notebook = EXAMPLES / "service_demo" / "notebook.py"
    assert finish(start(notebook, tmp_path, folder / "bundle")) == "class 7, by a server that saw noise"
    assert {path.name for path in tmp_path.glob("*.png")} == {"ciphertext.png", "bytes.png", "answer.png"}
    assert notebook.read_text().count("# %%\n") >= 5


def test_the_server_refuses_and_goes_on(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "bundle" / "server", tmp_path / "bundle" / "server")  # without client.json
    bundle = cp.load(folder / "bundle")
    assert isinstance(bundle, cp.Bundle)
    image = cp.load_data("mnist").x_test[0]
    client, stranger = cp.Client(bundle.client), cp.Client(bundle.client)
    request = client.encrypt(image)
    (tmp_path / "evaluation.key").write_bytes(client.evaluation_key.to_bytes())
    for index, content in enumerate([request[:-7], stranger.encrypt(image), client.secret_key.to_bytes(), request]):
        (tmp_path / f"{index}.request.ct").write_bytes(content)
    server = start(EXAMPLES / "server.py", tmp_path)
    try:
        until(server, tmp_path / "3.reply.ct")
        (tmp_path / "done").touch()
        assert finish(server) == "answered 4 requests; torch loaded: False"
    finally:
        server.kill()
        server.wait()
    refused = [(tmp_path / f"{index}.refused.txt").read_text() for index in range(3)]
    assert [line.split(":")[0] for line in refused] == ["FormatError", "KeyNotRegisteredError", "SecretKeyError"]
    assert all(f"{index}.request.ct" in line and "\n" not in line for index, line in enumerate(refused))
    assert client.decrypt((tmp_path / "3.reply.ct").read_bytes()).shape == (10,)


def test_the_server_takes_no_secret_key(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "bundle" / "server", tmp_path / "bundle" / "server")
    bundle = cp.load(folder / "bundle")
    assert isinstance(bundle, cp.Bundle)
    (tmp_path / "evaluation.key").write_bytes(cp.Client(bundle.client).secret_key.to_bytes())
    server = start(EXAMPLES / "server.py", tmp_path)
    try:
        _, err = server.communicate(timeout=TIMEOUT_S)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 1
    assert err.startswith("evaluation.key refused: SecretKeyError: ")
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_a_client_of_a_server_over_http_names_digits(folder: Path, tmp_path: Path) -> None:
    server = start(ROOT / "cli.py", "serve", folder / "bundle", "--port", "0", "--json")
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        found = re.fullmatch(r"(\d) of 5 digits right", finish(start(HTTP_CLIENT, url, "5", tmp_path / "keys")))
        assert found and int(found[1]) >= 3
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.slow
def test_quickstart_names_an_encrypted_digit() -> None:
    assert finish(start(EXAMPLES / "quickstart.py")) == "the first test digit is a 7; named while encrypted: 7"


@pytest.mark.slow
def test_a_batch_of_encrypted_digits_is_named_right() -> None:
    found = re.fullmatch(r"named right while encrypted: (\d+\.\d)% of 1000", finish(start(EXAMPLES / "batch.py")))
    assert found and float(found[1]) > 95
    assert len((EXAMPLES / "batch.py").read_text().splitlines()) < 30


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("tables/*.py")), ids=lambda path: path.name)
def test_a_table_scores_encrypted_about_what_it_scores_plain(path: Path) -> None:
    found = re.search(r"(\d\.\d{3}) plain, (\d\.\d{3}) encrypted$", finish(start(path)))
    assert found
    plain, encrypted = (float(score) for score in found.groups())
    assert encrypted > plain - 0.07


def test_the_readme_shows_the_quickstart() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = (EXAMPLES / "quickstart.py").read_text().partition('"""\n\n')[2]
    assert shown and code == shown[1]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("tables/*.py")), ids=lambda path: path.name)
def test_a_table_is_a_script_of_under_thirty_lines(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) < 30


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_says_what_it_shows(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) < LONGEST_LINES
