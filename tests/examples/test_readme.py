"""The command lines of the README run as written, in order, in an empty folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def command_lines(heading: str) -> list[str]:
    """The lines of the block under a heading, without their comments and without the activation of the environment."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    lines = [line for line in block.splitlines() if line != ". .venv/bin/activate"]
    return [shlex.join(shlex.split(line, comments=True)) for line in lines]


@pytest.mark.parametrize(
    ("heading", "file"), [("On the command line", "digit.npy"), ("Many images at once", "digits.npy")]
)
def test_the_lines_begin_by_making_the_file_that_they_encrypt(heading: str, file: str) -> None:
    first, *others = command_lines(heading)
    assert first.startswith("python -c") and file in first
    assert all(line.startswith("cipherpress ") for line in others)
    assert any(f"--input {file}" in line for line in others)


@pytest.mark.slow
def test_the_lines_run_as_written_and_name_the_digit(tmp_path: Path) -> None:
    shown = run_lines("On the command line", tmp_path)
    best = next(line for line in shown["decrypt"].splitlines() if line.split()[:1] != ["class"])
    assert best.split()[0] == "7"


@pytest.mark.slow
def test_the_lines_of_batches_run_as_written_and_name_every_digit(tmp_path: Path) -> None:
    shown = run_lines("Many images at once", tmp_path)
    assert "3,000 images" in shown["decrypt"]
    rows = [line.split() for line in shown["decrypt"].splitlines()[1:11]]
    assert [row[0] for row in rows] == [str(number) for number in range(10)]
    assert sum(int(row[1]) for row in rows) == 3000


@pytest.mark.slow
def test_the_two_lines_over_http_name_the_digit(tmp_path: Path) -> None:
    serve, predict = (shlex.split(line)[1:] for line in command_lines("Over HTTP"))
    assert serve[:2] == ["serve", "native-fast"] and serve[2:4] == ["--port", "8000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "cli.py"), *serve[:3], "0", *serve[4:], "--json"]
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        predict[1] = json.loads(server.stdout.readline())["url"]
        command = [sys.executable, str(ROOT / "cli.py"), *predict]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1].split()[0] == "7"
    finally:
        server.terminate()
        server.communicate()


def run_lines(heading: str, tmp_path: Path) -> dict[str, str]:
    """What the lines under a heading print, by the command's name."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in {"python": "", "cipherpress": f" {ROOT / 'cli.py'}"}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    shown = {}
    for line in command_lines(heading):
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        shown[line.split()[1]] = done.stdout
    return shown
