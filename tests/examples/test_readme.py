"""The command lines of the README run as written, in order, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def command_lines() -> list[str]:
    """The lines of the block under "On the command line", without their comments."""
    section = README.partition("## On the command line")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    activation, *lines = block.splitlines()
    assert activation == ". .venv/bin/activate"
    return [shlex.join(shlex.split(line, comments=True)) for line in lines]


def test_the_lines_begin_by_making_the_file_that_they_encrypt() -> None:
    first, *others = command_lines()
    assert first.startswith("python -c") and "digit.npy" in first
    assert all(line.startswith("cipherpress ") for line in others)
    assert any("--input digit.npy" in line for line in others)


@pytest.mark.slow
def test_the_lines_run_as_written_and_name_the_digit(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in {"python": "", "cipherpress": f" {ROOT / 'cli.py'}"}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    shown = {}
    for line in command_lines():
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        shown[line.split()[1]] = done.stdout
    best = next(line for line in shown["decrypt"].splitlines() if line.split()[:1] != ["class"])
    assert best.split()[0] == "7"
