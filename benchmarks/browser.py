"""The page's own client beside node-seal (SEAL compiled to WebAssembly), in one headless Chromium, in turn.

    npm install node-seal
    python -m benchmarks.browser node_modules/node-seal BUNDLE

Both make the keys of the bundle's plan and encrypt one input. node-seal cannot cut keys to levels or pack them, so it
makes SEAL's whole keys. Sizes of code are of all files that a browser loads, compressed by gzip.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from secure.bundle.specs import ClientSpec
from secure.plan import galois_element

RESULT = Path(__file__).parent / "results" / "browser.json"
PAGE = Path(cp.__file__).parent / "service" / "page"
RUNS = 20
MINUTES = 10
HEADINGS = ("client", "code, KB", "start-up", "keys", "key, MB", "encrypt", "request, KB")
NAMES = {"own": "this page's", "peer": "node-seal"}
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for progress."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder's files, while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def job(spec: ClientSpec) -> dict[str, Any]:
    """What both clients are asked for: node-seal names rotations by steps."""
    degree = spec.params.poly_modulus_degree
    steps = {galois_element(step, degree): step for step in range(1, degree // 2)}
    return {
        "runs": RUNS,
        "degree": degree,
        "primes": [str(prime) for prime in spec.params.seal_primes],
        "steps": [steps[element] for element in spec.keys.galois_elements if element in steps],
        "scale": spec.input_scale,
    }


def measured(node_seal: Path, bundle: Path) -> dict[str, Any]:
    """The result of both clients."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(PAGE, folder / "page")
        shutil.copytree(node_seal / "dist", folder / "node-seal" / "dist")
        shutil.copy(bundle / "client.json", folder)
        shutil.copy(Path(__file__).with_name("browser_clients.js"), folder / "clients.js")
        (folder / "index.html").write_text('<!doctype html><script type="module" src="clients.js"></script>')
        spec = cp.load_client(bundle)
        assert isinstance(spec, ClientSpec), "a bundle for latency"
        found = _in_browser(folder, job(spec))
        found["own"]["code_bytes"] = _code_bytes(folder / "page")
        found["peer"]["code_bytes"] = sum(
            _gzipped(folder / "node-seal" / "dist" / file)
            for file in ("index_throws.js", "seal_throws.js", "seal_throws.wasm")
        )
        version = (node_seal / "package.json").read_text(encoding="utf-8").split('"version": "')[1].split('"')[0]
    return {
        "machine": this_machine().as_json(),
        "bundle": {"degree": spec.params.poly_modulus_degree, "rotation_keys": len(spec.keys.galois_elements)},
        "node_seal": version,
        "runs": RUNS,
        "clients": found,
    }


def _in_browser(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    options = webdriver.ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    options.binary_location = shutil.which("chromium") or "chromium"
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(60 * MINUTES)
        with served(folder) as url:
            driver.get(url)
            driver.execute_async_script("const done = arguments[0]; import('./clients.js').then(() => done());")
            script = (
                "const done = arguments[1]; measured(arguments[0]).then(done, (error) => done(String(error.stack)));"
            )
            found = driver.execute_async_script(script, asked)
    finally:
        driver.quit()
    if not isinstance(found, dict):
        raise RuntimeError(f"the browser's script failed: {found}")
    return found


def _gzipped(file: Path) -> int:
    return len(gzip.compress(file.read_bytes(), 9))


def _code_bytes(folder: Path) -> int:
    """Of what a browser loads of the page: not the source of core.wasm, nor the licence."""
    return sum(_gzipped(file) for file in folder.rglob("*") if file.suffix in {".html", ".css", ".js", ".wasm"})


def browser_table(result: Mapping[str, Any]) -> str:
    """The table of a result."""
    lines = table_head(HEADINGS)
    for key, row in result["clients"].items():
        lines.append(
            table_row(
                (
                    NAMES[key],
                    f"{row['code_bytes'] / 1e3:.0f}",
                    f"{row['start_ms']:.0f} ms",
                    f"{row['keys_ms']:.0f} ms",
                    f"{row['key_bytes'] / 1e6:.2f}",
                    f"{row['encrypt_ms']:.1f} ms",
                    f"{row['request_bytes'] / 1e3:.1f}",
                )  # fmt: skip
            )
        )
    machine, bundle = result["machine"], result["bundle"]
    return with_note(
        lines,
        f"N = {bundle['degree']}, {bundle['rotation_keys']} rotation keys and a relinearization key. Medians of "
        f"{result['runs']} runs in turn in one headless Chromium; start-up once each, the page's own first. Code: "
        f"compressed by gzip; the page's with everything that it shows. node-seal {result['node_seal']}. "
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average']:.1f} at the start, "
        f"{machine['date']}. `python -m benchmarks.browser node_modules/node-seal BUNDLE`.",
    )


if __name__ == "__main__":
    node_seal, bundle = map(Path, sys.argv[1:3])
    result = measured(node_seal, bundle)
    write_result(RESULT, result, browser_table(result))
