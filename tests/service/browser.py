"""The page in a headless Chromium, as a person uses it: by pointer and by keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 60.0
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--window-size=1100,1200",
)  # fmt: skip


class Page:
    """The page of one server. `problem` is the sentence that it shows, empty where there is none."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self._wait = WebDriverWait(driver, PATIENCE_S)
        driver.get(f"{url}/ui/")

    def element(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        return str(self.element(name).text)

    @property
    def problem(self) -> str:
        return self.text("problem")

    def ready(self) -> None:
        """Wait until the keys are made and uploaded, or a problem is shown."""
        self._wait.until(lambda _: self.element("ask").is_enabled() or self.problem)

    def ask(self) -> str:
        """What the page says after it asked."""
        self.driver.execute_script("document.getElementById('answer').textContent = ''")
        self.element("ask").click()
        self._wait.until(lambda _: self.text("answer"))
        return self.text("answer")

    def numbers(self, values: Sequence[float]) -> None:
        """Type numbers in place of those that are there."""
        self.element("clear").click()
        self.element("values").send_keys(" ".join(f"{value:.6g}" for value in values))

    def draw_by_keyboard(self, moves: str) -> None:
        """Move the pen by letters: l, r, u, d; a space lowers or lifts it."""
        arrows = {"l": Keys.ARROW_LEFT, "r": Keys.ARROW_RIGHT, "u": Keys.ARROW_UP, "d": Keys.ARROW_DOWN, " ": " "}
        self.element("pad").send_keys("".join(arrows[move] for move in moves))

    def saved_key(self, folder: Path) -> bytes:
        """The secret key that the page gives to its person."""
        self.element("save-key").click()
        self._wait.until(lambda _: (folder / "secret.key").exists())
        return (folder / "secret.key").read_bytes()

    def errors(self) -> list[str]:
        """What the browser's console complains about."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@contextmanager
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    """A browser with a fresh profile."""
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, f"--user-data-dir={downloads / 'profile'}"):
        options.add_argument(option)
    options.binary_location = str(CHROMIUM)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
