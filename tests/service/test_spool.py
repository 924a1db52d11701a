"""Files of the spool are used again after requests that went well, and hold the last body alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cipherpress.service import spool as spool_module
from cipherpress.service.spool import STEP_BYTES, Room, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_what_is_written_is_in_the_file_and_in_memory(spool: Spool) -> None:
    with spool.room(1500) as room:
        room.write(b"a" * 1000, 0)
        room.write(b"b" * 500, 1000)
        assert room.memory[:1500] == b"a" * 1000 + b"b" * 500 == room.path.read_bytes()[:1500]
        assert len(room.memory) == room.size_bytes == STEP_BYTES
        assert room.path.stat().st_mode & 0o777 == 0o600
        with open(room.path, "rb") as elsewhere:
            room.write(b"c", 999)
            assert elsewhere.read(1001) == b"a" * 999 + b"cb"


def test_a_file_is_used_again_for_bodies_that_fit(spool: Spool) -> None:
    used: list[Room] = []
    for size_bytes in (10, STEP_BYTES, STEP_BYTES + 1, 5, 2 * STEP_BYTES):
        with spool.room(size_bytes) as room:
            assert room.size_bytes >= size_bytes
            used.append(room)
    small, again, large, third, last = used
    assert small is again is third, "large files stay for large bodies"
    assert large is last is not small
    with spool.room(1) as one, spool.room(1) as other:
        assert (one, other) == (small, large), "and are taken where no other is there"
    with spool.room(STEP_BYTES) as three:
        assert three is small


@pytest.mark.parametrize("error", [OSError("full"), asyncio.CancelledError("left"), KeyError("refused")])
def test_a_file_that_somebody_may_still_read_is_not_used_again(spool: Spool, error: BaseException) -> None:
    with pytest.raises(type(error), match=str(error)), spool.room(4) as first:
        first.write(b"body", 0)
        raise error
    assert not first.path.exists()
    assert first.memory[:4] == b"body", "whoever reads it still finds what it was"
    with spool.room(4) as second, spool.room(4) as third, spool.fresh() as reply:
        reply.write_bytes(b"reply")
        assert len({first.path, second.path, third.path, reply}) == 4
        assert second.memory[:4] == bytes(4)
    assert not reply.exists()


def test_so_many_files_are_kept_and_the_folder_starts_empty(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "KEPT_FILES", 1)
    with spool.room(1) as one, spool.room(1) as other:
        pass
    assert [path.name for path in spool.folder.iterdir()] == [one.path.name], "the one that ended last"
    assert not other.path.exists()
    again = Spool(tmp_path / "spool")
    assert not list(again.folder.iterdir())
    again.remove()
    assert not again.folder.exists()
