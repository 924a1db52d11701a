"""Arrays from outside: a header states exactly what follows; nothing is unpickled, nothing allocated on its word."""

import os
import struct
import tracemalloc
import zipfile
from io import BytesIO

import numpy as np
import pytest

from compress import npy_file
from compress.npy_file import open_npy, parse_npy, read_npy, read_npz


def npy(array, **options):
    buffer = BytesIO()
    np.save(buffer, array, **options)
    return bytearray(buffer.getvalue())


def with_header(text, tail=bytes(64), version=1):
    packed = text.encode("latin-1") + b"\n"
    return bytearray(b"\x93NUMPY" + bytes([version, 0]) + len(packed).to_bytes(2, "little") + packed + tail)


ARRAYS = [
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.array(3, dtype=np.uint8),
    np.array([True, False]),
    np.array(["cat", "dog"]),
    np.zeros((0, 3), dtype=np.float32),
    np.arange(4, dtype=">i4"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_arrays_come_back_as_they_were_and_can_be_written(array):
    found = parse_npy(npy(array))
    assert np.array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.flags.writeable


HEADERS = [
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }", "its header states 72 bytes, 64 follow"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (7,), }", "its header states 56 bytes, 64 follow"),
    (f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**62}, {2**62}), }}", "its header states .* bytes, 64"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "an array of shape .-1,."),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }", "an array of shape .True,."),
    ("{'descr': '|O', 'fortran_order': False, 'shape': (8,), }", "type object; allowed are numbers and texts, and no"),
    ("{'descr': '|V8', 'fortran_order': False, 'shape': (8,), }", "allowed are numbers and texts"),
    ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (8,), }", "allowed are numbers and texts"),
    ("{'descr': 3, 'fortran_order': False, 'shape': (8,), }", "its header cannot be read"),
    ("{'shape': (8,)}", "its header cannot be read"),
    ("__import__('os').abort()", "its header cannot be read"),
    ("[" * 5000, "its header cannot be read|nested too deep"),
    ("{", "its header cannot be read"),
]


@pytest.mark.parametrize(("header", "message"), HEADERS, ids=range(len(HEADERS)))
def test_a_header_that_lies_is_refused(header, message):
    with pytest.raises(ValueError, match=message):
        parse_npy(with_header(header))


def test_pickled_objects_and_other_versions_are_refused():
    with pytest.raises(ValueError, match="no pickled objects"):
        parse_npy(npy(np.array([{"a": 1}], dtype=object), allow_pickle=True))
    with pytest.raises(ValueError, match="format version .3, 0.; allowed are 1.0 and 2.0"):
        parse_npy(with_header("{}", version=3))
    with pytest.raises(ValueError, match="its header cannot be read"):
        parse_npy(bytearray(b"no array"))


def test_an_archive_is_read_and_its_damage_named(tmp_path, monkeypatch):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros(1000), y=np.arange(3))
    found = read_npz(path)
    assert found.keys() == {"x", "y"} and found["y"].tolist() == [0, 1, 2]
    monkeypatch.setattr(npy_file, "MAX_ARRAY_BYTES", 5_000)
    with pytest.raises(ValueError, match="its arrays take 8280 bytes; allowed are 5000"):
        read_npz(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="no complete zip archive of arrays: BadZipFile"):
        read_npz(path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", bytes(npy(np.zeros(2))))
        archive.writestr("x.npy", bytes(npy(np.zeros(2))))
    with pytest.raises(ValueError, match="it holds two arrays named 'x'"):
        read_npz(path)


def test_memory_follows_what_is_in_an_archive_and_not_what_it_states(tmp_path):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros(1000))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 2**31)  # size in the archive's directory
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="array 'x' is cut off|no complete zip archive"):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_a_path_without_an_end_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("array", [array for array in ARRAYS if array.ndim], ids=str)
def test_rows_are_read_where_they_are_needed(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    rows = open_npy(tmp_path / "x.npy")
    assert (rows.shape, rows.dtype, len(rows)) == (array.shape, array.dtype, len(array))
    for part in (slice(0, 1), slice(1, 3), slice(1, 99), slice(None)):
        assert np.array_equal(rows[part], array[part])


@pytest.mark.parametrize(("header", "message"), HEADERS)
def test_rows_of_a_header_that_lies_are_refused(tmp_path, header, message):
    (tmp_path / "x.npy").write_bytes(with_header(header))
    with pytest.raises(ValueError, match=message):
        open_npy(tmp_path / "x.npy")


def test_a_file_that_shrinks_and_one_without_rows_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100, 10)))
    rows = open_npy(tmp_path / "x.npy")
    os.truncate(tmp_path / "x.npy", 4000)
    with pytest.raises(ValueError, match="it was truncated"):
        rows[90:100]
    np.save(tmp_path / "y.npy", np.float64(3))
    with pytest.raises(ValueError, match="a single number"):
        open_npy(tmp_path / "y.npy")
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_npy(tmp_path / "z.npy")
