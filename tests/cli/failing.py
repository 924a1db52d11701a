"""How a command fails: status 1, one line on stderr that starts with `error:`, and nothing written."""

from pathlib import Path

from tests.small_road import call


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder, with its size and modification time."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def fails(folder: Path, *arguments: str | Path) -> str:
    """The error line of a command that has to fail with status 1 and leave `folder` unchanged."""
    before = listing(folder)
    for extra in ((), ("--json",)):
        result = call(*arguments, *extra)
        assert result.exit_code == 1, (result.exit_code, result.stdout, result.stderr, result.exception)
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        assert "Traceback" not in lines[0]
    assert listing(folder) == before
    return lines[0]
