"""The page in a real browser: its answers, the keys that it shares with Python, and what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver

import cipherpress as cp
from secure.bundle.files import save_bundle
from secure.parties.keys import EvaluationKey, SecretKey
from tests.promised import settled
from tests.secure.plans import small_bundle, small_bundle_by_hand
from tests.service.browser import CHROMIUM, DRIVER, Page, browser
from tests.service.running import Running, recorded, running

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver on this machine")

IMAGE = np.random.default_rng(0).uniform(-0.9, 0.9, (4, 8))  # its class is settled, so every run answers the same
RESIDUE_BYTES = 8


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose clients make keys of their own."""
    folder = tmp_path_factory.mktemp("own") / "own"
    save_bundle(small_bundle(own_keys=True), folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def server(own: Path, store: Path) -> Iterator[Running]:
    with running(own, options=("--data-dir", str(store))) as one:
        yield one


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads: Path) -> Iterator[webdriver.Chrome]:
    with browser(downloads) as one:
        yield one


def test_page_and_python_share_a_key_and_the_key_stays(
    own: Path, store: Path, server: Running, driver: webdriver.Chrome, downloads: Path
) -> None:
    """The page's answer is right; Python opens and makes ciphertexts under its key; the wire shows no part of it."""
    with recorded(server.url) as relay:
        page = Page(driver, relay.url)
        page.ready()
        page.numbers(IMAGE.ravel())
        said = page.ask()
        sent = bytes(relay.sent)
    wanted = small_bundle_by_hand(small_bundle(), IMAGE).ravel()
    assert settled(wanted[None], small_bundle().client.predicted_logit_error).all()
    assert said == f"It is {wanted.argmax()}."
    assert not page.problem
    assert not page.errors()

    content = page.saved_key(downloads)
    key = SecretKey.from_bytes(content)
    client = cp.Client(cp.load_client(own), key)
    stored_keys = (path.read_bytes() for path in store.rglob("*.key"))
    evaluation = next(stored for stored in stored_keys if EvaluationKey.from_bytes(stored).key_id == key.key_id)
    here = cp.Server(cp.load_server(own))
    here.register(evaluation)
    found = client.decrypt(here.run(client.encrypt(IMAGE)))
    np.testing.assert_allclose(found.ravel(), wanted, atol=0.05)

    stored = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    pieces = {content[start : start + 4 * RESIDUE_BYTES] for start in range(500, 20_000, 4 * RESIDUE_BYTES)}
    assert len(evaluation) <= min(len(sent), len(stored))
    assert not any(piece in place for piece in pieces for place in (sent, stored))


def test_the_page_takes_the_key_that_python_made(
    own: Path, server: Running, driver: webdriver.Chrome, tmp_path: Path
) -> None:
    with cp.RemoteClient(server.url, "own", keys=tmp_path) as remote:
        wanted = remote.predict(IMAGE)
    page = Page(driver, server.url)
    page.ready()
    page.element("load-key").send_keys(str(tmp_path / "secret.key"))
    page.ready()
    page.numbers(IMAGE.ravel())
    assert page.ask() == f"It is {wanted.argmax()}."
    assert not page.problem


def test_mistakes_are_answered_by_sentences(server: Running, driver: webdriver.Chrome, tmp_path: Path) -> None:
    page = Page(driver, server.url)
    page.ready()
    page.numbers([0.5, 0.25])
    page.ask()
    assert page.problem == "The network takes 32 numbers; the field holds 2. Give as many as it takes."
    (tmp_path / "secret.key").write_bytes(b"CIPHPRS2 but nothing else")
    page.element("load-key").send_keys(str(tmp_path / "secret.key"))
    page._wait.until(lambda _: page.problem.startswith("The secret key: it is no cipherpress file"))
    page.numbers([2.0] * 32)
    page.ask()
    assert page.problem.startswith("32 values were outside the accepted range")


def test_a_server_that_stops_is_said(own: Path, driver: webdriver.Chrome) -> None:
    with running(own) as server:
        page = Page(driver, server.url)
        page.ready()
        server.stop()
        page.numbers(IMAGE.ravel())
        page.ask()
        assert page.problem == "The server does not answer. Check that it runs, then try again."


@pytest.mark.slow
def test_a_digit_drawn_by_keyboard(driver: webdriver.Chrome) -> None:
    with running("native-fast") as server:
        page = Page(driver, server.url)
        page.ready()
        assert page.ask() == "No answer."
        assert page.problem == "The drawing area is empty. Draw something, or open an image."
        page.draw_by_keyboard("u" * 9 + " " + "d" * 18)
        assert page.ask() == "It is 1."
