"""How long the page takes from its opening to answers, in a headless Chromium with a fresh profile.

    python -m benchmarks.page DIR [BUNDLE] [--rounds 5] [--later 10]

`cipherpress serve` serves the bundle, the zoo's `mlp` where none is given. Each round opens the page in a browser of
its own, which loads its code, makes keys, uploads the evaluation key, encrypts, asks and decrypts. The browser's own
clock counts from the moment at which it begins to open the page. Then it asks again, with the keys that it has.
"""

from __future__ import annotations

import shutil
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import cipherpress as cp
from benchmarks.browser import OPTIONS
from benchmarks.machine import this_machine
from benchmarks.report import table_head, with_note, write_result
from benchmarks.served_models import make_bundles, serving
from secure.bundle.specs import ClientSpec

QUEUE = 16
PATIENCE_S = 120
#: What the contract allows, in seconds: from opening the page to the first answer, and for each one after it.
FIRST_S, LATER_S = 5.0, 0.5
#: Fills in numbers, draws a line, asks; milliseconds from opening to the first answer, and of later ones.
SCRIPT = """
const [numbers, later, done] = arguments;
const element = (name) => document.getElementById(name);
const until = async (true_) => { while (!true_()) await new Promise((next) => setTimeout(next, 2)); };
const ask = async () => {
  element("answer").textContent = "";
  element("ask").click();
  await until(() => element("answer").textContent || element("problem").textContent);
};
(async () => {
  await until(() => !element("ask").disabled || element("problem").textContent);
  const ready = performance.now();
  element("values").value = numbers;
  const pad = element("pad"), context = pad.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0.46 * pad.width, 0.2 * pad.height, 0.08 * pad.width, 0.6 * pad.height);
  await ask();
  const first = performance.now(), took = [];
  for (let number = 0; number < later; number++) {
    const start = performance.now();
    await ask();
    took.push(performance.now() - start);
  }
  done({ ready_ms: ready, first_ms: first, later_ms: took, problem: element("problem").textContent });
})();
"""


def run(output: Path, bundle: Path | None, rounds: int, later: int) -> dict[str, Any]:
    """Measure; writes page.json and page.md into `output`."""
    with tempfile.TemporaryDirectory() as folder:
        path = bundle or make_bundles(Path(folder))[0]
        spec = cp.load_client(path)
        assert isinstance(spec, ClientSpec), "a bundle for latency"
        middle = (np.asarray(spec.input_low) + np.asarray(spec.input_high)) / 2
        with serving([path], 1, QUEUE) as (url, _):
            rows = [_round(f"{url}/ui/", middle, later) for _ in range(rounds)]
    named = f" {bundle.name}" if bundle else ""
    result = {
        "command": f"python -m benchmarks.page DIR{named} --rounds {rounds} --later {later}",
        "network": path.name,
        "rows": rows,
        "machine": this_machine().as_json(),
    }
    write_result(output / "page.json", result, page_table(result))
    return result


def _round(url: str, numbers: Any, later: int) -> dict[str, Any]:
    """Milliseconds of one browser, from opening the page on."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.binary_location = shutil.which("chromium") or "chromium"
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            driver.set_script_timeout(PATIENCE_S)
            driver.get(url)
            text = " ".join(f"{number:.6g}" for number in np.ravel(numbers))
            found: dict[str, Any] = driver.execute_async_script(SCRIPT, text, later)
        finally:
            driver.quit()
    problem = found.pop("problem")
    if problem:
        raise RuntimeError(f"the page says: {problem}")
    return found


def page_table(result: Mapping[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(
        ("browser", "keys made and sent, s", "first answer, s", "later answers, s", "slowest of them, s")
    )
    for number, row in enumerate(result["rows"], 1):
        lines.append(
            f"| {number} | {row['ready_ms'] / 1e3:.2f} | {row['first_ms'] / 1e3:.2f} | "
            f"{median(row['later_ms']) / 1e3:.2f} | {max(row['later_ms']) / 1e3:.2f} |"
        )
    machine = result["machine"]
    note = (
        f"{result['network']}. Seconds from opening the page in a browser with a fresh profile, and of each answer "
        f"after the first. Asked for: {FIRST_S:g} and {LATER_S:g}. {machine['cpu']}, {machine['cores']} cores, load "
        f"{machine['load_average']:.1f}, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the files and print the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", type=Path)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--later", type=int, default=10)
    print(page_table(run(**vars(parser.parse_args(arguments)))))


if __name__ == "__main__":
    main()
