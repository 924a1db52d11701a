"""Data sets: the shipped one, folders, archives, and every kind of error in them."""

import gzip
import struct
import sys

import numpy as np
import pytest

from cipherpress.zoo.datasets import CIFAR10_TEST, CIFAR10_TRAINING, SHIPPED, load_data
from compress.errors import DataError


@pytest.fixture(scope="module")
def mnist():
    return load_data("mnist")


def write_idx(path, magic, array):
    header = struct.pack(">I", magic) + b"".join(struct.pack(">I", size) for size in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def idx_folder(folder, images=6, labels=6):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", 2051, np.arange(images * 4).reshape(images, 2, 2))
        write_idx(folder / f"{part}-labels-idx1-ubyte", 2049, np.arange(labels) % 3)
    return folder


def test_mnist_ships_with_the_project(mnist):
    assert mnist.x_train.shape == (60000, 1, 28, 28)
    assert mnist.x_test.shape == (10000, 1, 28, 28)
    assert mnist.classes == 10 and mnist.input_shape == (1, 28, 28)
    assert mnist.x_train.dtype == np.float32 and 0 <= mnist.x_train.min() and mnist.x_train.max() == 1


def test_calibration_is_the_same_for_the_same_seed_and_comes_from_training_images(mnist):
    first, again, other = mnist.calibration(16, 1), mnist.calibration(16, 1), mnist.calibration(16, 2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert any(np.array_equal(first[0], image) for image in mnist.x_train)


def test_a_folder_of_idx_files_scales_bytes_to_one(tmp_path):
    data = load_data(str(idx_folder(tmp_path / "tiny")))
    assert data.name == "tiny" and data.x_train.shape == (6, 1, 2, 2)
    assert data.x_train[0, 0, 0, 1] == np.float32(1 / 255)


def test_data_that_is_not_shipped_is_found_by_option_or_variable(tmp_path, monkeypatch):
    idx_folder(tmp_path / "fashion-mnist")
    assert load_data("fashion-mnist", tmp_path).classes == 3
    monkeypatch.setenv("CIPHERPRESS_DATA", str(tmp_path))
    assert load_data("fashion-mnist").classes == 3
    monkeypatch.delenv("CIPHERPRESS_DATA")
    with pytest.raises(DataError, match="it is not shipped; give --data-dir or set CIPHERPRESS_DATA"):
        load_data("fashion-mnist")


def test_an_npz_of_floats_is_taken_as_it_is(tmp_path):
    x, y = np.linspace(-2, 3, 12).reshape(4, 3), np.array([0, 1, 2, 1])
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = load_data(str(tmp_path / "own.npz"))
    assert data.x_train.min() == -2 and data.input_shape == (3,) and data.y_test.dtype == np.int64


def test_digits_of_scikit_learn_are_split_the_same_way_every_time():
    pytest.importorskip("sklearn")
    data = load_data("digits")
    assert data.input_shape == (1, 8, 8) and len(data.x_test) == 360 and len(data.x_train) == 1437


def test_every_damage_names_the_file(tmp_path):
    with pytest.raises(DataError, match="no such data set; use one of mnist, fashion-mnist, digits"):
        load_data("cifar")
    folder = idx_folder(tmp_path / "a")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte.*file not found"):
        load_data(str(folder))
    folder = idx_folder(tmp_path / "b")
    (folder / "train-images-idx3-ubyte").write_bytes(b"\0\0\0\0junk")
    with pytest.raises(DataError, match="train-images-idx3-ubyte.*IDX number 2051"):
        load_data(str(folder))
    folder = idx_folder(tmp_path / "c")
    (folder / "train-images-idx3-ubyte").write_bytes((folder / "train-images-idx3-ubyte").read_bytes()[:-3])
    with pytest.raises(DataError, match="21 bytes of data where its header says"):
        load_data(str(folder))
    with pytest.raises(DataError, match="one label each"):
        load_data(str(idx_folder(tmp_path / "d", images=6, labels=5)))
    folder = idx_folder(tmp_path / "e")
    whole = gzip.compress((folder / "train-images-idx3-ubyte").read_bytes())
    (folder / "train-images-idx3-ubyte.gz").write_bytes(whole[:-6])
    with pytest.raises(DataError, match="not a complete gzip file"):
        load_data(str(folder))


def test_npz_files_that_cannot_be_used_say_why(tmp_path):
    x, y = np.ones((4, 3)), np.array([0, 1, 2, 1])
    np.savez(tmp_path / "missing.npz", x_train=x, y_train=y)
    with pytest.raises(
        DataError, match="it holds x_train, y_train; it needs x_train and x_test, or x; with labels y_train"
    ):
        load_data(str(tmp_path / "missing.npz"))
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 not a zip")
    with pytest.raises(DataError, match="cannot be read as an .npz file"):
        load_data(str(tmp_path / "cut.npz"))
    np.savez(tmp_path / "nan.npz", x_train=x * np.nan, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match="not finite"):
        load_data(str(tmp_path / "nan.npz"))
    labels = y.astype(np.uint64) + np.uint64(2**63)
    np.savez(tmp_path / "label.npz", x_train=x, y_train=labels, x_test=x, y_test=y)
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path / "label.npz"))
    assert str(caught.value) == (
        f"{tmp_path / 'label.npz'}: y_train has 9223372036854775810, which no 64-bit integer holds; "
        "number the classes from 0"
    )


@pytest.mark.parametrize(
    ("x_train", "message"),
    [
        (np.full((4, 3), "seven"), "x_train is <U5; it must hold real numbers"),
        (np.ones((4, 3)) * 1j, "x_train is complex128; it must hold real numbers"),
        (np.full((4, 3), 1e300), "not finite as float32"),
        (np.full((4, 3), None), "without pickled objects"),
    ],
)
def test_images_that_are_no_real_numbers_are_refused(x_train, message, tmp_path):
    np.savez(tmp_path / "x.npz", x_train=x_train, y_train=np.arange(4), x_test=np.ones((4, 3)), y_test=np.arange(4))
    with pytest.raises(DataError, match=message):
        load_data(str(tmp_path / "x.npz"))


def test_an_npz_that_is_missing_or_a_bare_array_is_refused(tmp_path):
    with pytest.raises(DataError, match="none.npz: file not found; give an .npz file"):
        load_data(str(tmp_path / "none.npz"))
    with open(tmp_path / "bare.npz", "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DataError, match="bare.npz: cannot be read as an .npz file.*np.savez"):
        load_data(str(tmp_path / "bare.npz"))


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"needs scikit-learn; install cipherpress\[data\]"):
        load_data("digits")


def test_the_shipped_files_are_the_only_data_in_the_package():
    assert sorted(path.name for path in SHIPPED.iterdir()) == ["mnist"]


def test_fashion_mnist_32_has_two_rows_and_columns_of_zeros_on_each_side(tmp_path):
    idx_folder(tmp_path / "fashion-mnist")
    plain, wide = load_data("fashion-mnist", tmp_path), load_data("fashion-mnist-32", tmp_path)
    assert wide.name == "fashion-mnist-32" and wide.input_shape == (1, 6, 6)
    np.testing.assert_array_equal(wide.x_test[:, :, 2:-2, 2:-2], plain.x_test)
    assert wide.x_train.sum() == plain.x_train.sum()


@pytest.fixture
def cifar10_files(tmp_path, monkeypatch):
    """Six files of three records: label k, all red pixels 10 k, green 10 k + 1, blue 10 k + 2."""
    monkeypatch.setattr("cipherpress.zoo.datasets.CIFAR10_IMAGES", 3)
    for name in (*CIFAR10_TRAINING, CIFAR10_TEST):
        records = [[k, *([10 * k] * 1024), *([10 * k + 1] * 1024), *([10 * k + 2] * 1024)] for k in (2, 0, 9)]
        (tmp_path / name).write_bytes(np.array(records, dtype=np.uint8).tobytes())
    return tmp_path


def test_cifar10_is_read_from_its_binary_version(cifar10_files):
    data = load_data("cifar10", cifar10_files)
    assert data.x_train.shape == (15, 3, 32, 32) and data.x_test.shape == (3, 3, 32, 32)
    assert data.y_test.tolist() == [2, 0, 9] and data.classes == 10
    np.testing.assert_allclose(data.x_test[0, :, 7, 5] * 255, [20, 21, 22], rtol=1e-6)


def test_damaged_cifar10_files_are_named(cifar10_files):
    path = cifar10_files / "data_batch_3.bin"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(DataError, match=r"data_batch_3.bin: 9218 bytes; 3 records have 9219; copy it again"):
        load_data("cifar10", cifar10_files)
    path.write_bytes(bytes([10]) + good[1:])
    with pytest.raises(DataError, match="data_batch_3.bin: a label is 10; CIFAR-10 has classes 0 to 9"):
        load_data("cifar10", cifar10_files)
    path.unlink()
    with pytest.raises(DataError, match="file not found; the folder needs the six .bin files of CIFAR-10's binary"):
        load_data("cifar10", cifar10_files)
