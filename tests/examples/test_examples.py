"""The examples run, end with the line they promise, and are the code that the README shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cipherpress as cp

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LONGEST_LINES = 60
TIMEOUT_S = 240


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """An example as a process of its own, from another folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> str:
    """Its last line, once it has ended well."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of the zoo's mlp; polynomials only fitted, so that it takes seconds."""
    made = tmp_path_factory.mktemp("shared")
    bundle = cp.press(cp.load_model("mlp"), cp.load_data("mnist"), finetune_epochs=0, convert_epochs=0, max_error=2.0)
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
    held = {path.name for path in folder.iterdir()} - {"bundle", "done"}
    assert held == {"evaluation.key", *(f"{i}.request.ct" for i in range(3)), *(f"{i}.reply.ct" for i in range(3))}


def test_quickstart_names_an_encrypted_digit() -> None:
    assert finish(start(EXAMPLES / "quickstart.py")) == "the first test digit is a 7; named while encrypted: 7"


def test_the_readme_shows_the_quickstart() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = (EXAMPLES / "quickstart.py").read_text().partition('"""\n\n')[2]
    assert shown and code.startswith(shown[1])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_says_what_it_shows(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) < LONGEST_LINES
