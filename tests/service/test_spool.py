"""Files of the spool are used again after requests that went well, and hold the last body alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cipherpress.service import spool as spool_module
from cipherpress.service.inference import _write
from cipherpress.service.spool import Spool


class Blocks:
    """A body that has arrived."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks

    async def blocks(self, size_bytes: int) -> AsyncIterator[memoryview]:
        for block in self._blocks:
            yield memoryview(block)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_a_shorter_body_leaves_nothing_of_a_longer_one(spool: Spool) -> None:
    found, paths = [], set()
    for blocks in ((b"a" * 1000, b"b" * 500), (b"c" * 700,), (b"d" * 900, b"e" * 600)):
        with spool.kept() as path:
            body: Any = Blocks(*blocks)
            asyncio.run(_write(path, body))
            found.append(path.read_bytes() == b"".join(blocks))
            paths.add(path)
    assert found == [True, True, True]
    assert len(paths) == 1, "the file is used again"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [OSError("full"), asyncio.CancelledError("left"), KeyError("refused")])
def test_a_file_that_somebody_may_still_read_is_not_used_again(spool: Spool, error: BaseException) -> None:
    with pytest.raises(type(error), match=str(error)), spool.kept() as first:
        first.write_bytes(b"body")
        raise error
    assert not first.exists()
    with spool.kept() as second, spool.kept() as third, spool.fresh() as reply:
        reply.write_bytes(b"reply")
        assert len({first, second, third, reply}) == 4
        assert not second.exists()
    assert not reply.exists()


def test_so_many_files_are_kept_and_the_folder_starts_empty(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "KEPT_FILES", 1)
    with spool.kept() as one, spool.kept() as other:
        one.write_bytes(b"1")
        other.write_bytes(b"2")
    assert [path.name for path in spool.folder.iterdir()] == [other.name]
    again = Spool(tmp_path / "spool")
    assert not list(again.folder.iterdir())
    again.remove()
    assert not again.folder.exists()
