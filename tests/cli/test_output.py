"""Results go to stdout, progress and notes to stderr, and wrong options are refused before any work."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cipherpress as cp
import cli
from cipherpress.commands.console import Output, size
from compress.blocks.cost import COSTS
from compress.blocks.options import COST_NAMES
from compress.conversion.options import EPOCHS, LEAST_STEPS
from tests.small_road import ROOT, Road, call, call_json


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading data or a model fails the test."""

    def loaded(*given: object) -> None:
        raise AssertionError("data or a model was loaded")

    monkeypatch.setattr("cipherpress.zoo.datasets.load_data", loaded)
    monkeypatch.setattr("cipherpress.zoo.loading.load_model", loaded)


def test_a_result_can_be_piped(road: Road) -> None:
    command = f"{sys.executable} {ROOT / 'cli.py'} inspect {road.path('bundle')} | grep rotations"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "rotations" in done.stdout
    assert done.stderr == ""


def test_every_kind_of_result_goes_to_stdout(road: Road, tmp_path: Path) -> None:
    keys = ("--key", road.path("keys/secret.key"))
    for arguments, expected in {
        ("models",): "lenet300",
        ("architectures",): "craterlake",
        ("estimate", road.path("friendly"), "--arch", "eyeriss"): "eyeriss",
        ("keygen", road.path("bundle"), "-o", tmp_path / "keys"): "secret.key",
        ("encrypt", road.path("bundle"), *keys, "--input", road.path("x.npy"), "-o", tmp_path / "x.ct"): "saved",
        ("decrypt", road.path("bundle"), *keys, "--input", road.path("y.ct")): "score",
        ("infer", road.path("bundle"), "--data", road.data, "--images", 2): "agreement",
    }.items():
        result = call(*arguments)
        assert result.exit_code == 0, result.stderr
        assert expected in result.stdout
        assert result.stderr == ""


def test_progress_is_a_line_every_few_seconds_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("cipherpress.commands.console.SECONDS_BETWEEN_LINES", 5.0)
    monkeypatch.setattr("cipherpress.commands.console.monotonic", lambda: now[0])

    @click.command()
    def work() -> None:
        with Output().progress("train") as progress:
            for seconds, share in ((1, 0.1), (4.9, 0.2), (5, 0.25), (9, 0.5), (10.5, 0.75)):
                now[0] = seconds
                progress(f"epoch at {seconds}", share)

    shown = CliRunner().invoke(work)
    assert shown.stderr.splitlines() == ["train: epoch at 5, 25% done", "train: epoch at 10.5, 75% done"]
    assert shown.stdout == ""


@pytest.mark.parametrize("settings", [{"as_json": True}, {"quiet": True}])
def test_json_and_quiet_output_have_no_progress_and_no_notes(
    settings: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cipherpress.commands.console.SECONDS_BETWEEN_LINES", 0.0)

    @click.command()
    def work() -> None:
        out = Output(**settings)
        with out.progress("train") as progress:
            progress("epoch", 0.5)
        out.note("a note")
        out.result({"done": True}, "done")

    shown = CliRunner().invoke(work)
    assert shown.stderr == ""
    assert shown.stdout == ('{"done": true}\n' if "as_json" in settings else "done\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compress", "mlp", "--target-rate", 0.5), "0.5 is not in the range x>1"),
        (("compress", "mlp", "--activation-bits", 1), "1 is not in the range 2<=x<=16"),
        (("compress", "mlp", "--epochs", -1), "-1 is not in the range x>=0"),
        (("compress", "mlp", "--sparsity", 0.5, "--target-rate", 8), "--sparsity and --target-rate exclude each other"),
        (("press", "mlp", "--target-ms", 5), "a target needs --min-accuracy"),
        (("press", "mlp", "--budget-keys", "some"), "'some' is not a positive number of bytes"),
        (("infer", "bundle", "--backend", "tenseal"), "'tenseal' is not one of 'engine', 'seal', 'clear'"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_wrong_usage_is_refused_before_any_work(arguments: tuple[str | float, ...], said: str, tmp_path: Path) -> None:
    output = () if arguments[0] == "infer" else ("-o", tmp_path / "out")
    result = call(*arguments, "--data", "mnist", *output)
    assert result.exit_code == 2, result.exception
    assert said in result.stderr and result.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compress", "mlp", "--bits", 40), "bits: got 40.0; allowed: a number from 2 to 8 per surviving weight"),
        (("compress", "mlp", "--block", "ring:3"), "ring:3"),
        (("compress", "mlp", "--sparsity", 2), "sparsity: got 2.0; allowed: a share in [0, 1)"),
        (("press", "mlp", "--sparsity", 1), "sparsity: got 1.0; allowed: a share in [0, 1)"),
        (("press", "mlp", "--bits", 1), "bits: got 1.0; allowed: "),
        (("compile", "net", "--max-error", -1), "max_error: got -1.0; allowed: "),
        (("compile", "net", "--max-disagreement", 2), "max_disagreement: got 2.0; allowed: "),
        (("convert", "mlp", "--learning-rate", -1), "learning_rate: got -1.0; allowed: "),
        (("press", "mlp", "--share", 0.5), "share: got 0.5; allowed: "),
        (("press", "mlp", "--block", "ring:3", "--share", 0.5), "ring:3"),
        (("press", "mlp", "--min-accuracy", 0.9, "--family", "ring:3"), "ring:3"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_values_out_of_range_are_refused_before_any_work(
    arguments: tuple[str | float, ...], said: str, tmp_path: Path
) -> None:
    result = call(*arguments, "--data", "mnist", "-o", tmp_path / "out")
    assert result.exit_code == 1, (result.exception, result.stderr)
    assert result.stderr.startswith("error: ") and said in result.stderr
    assert result.stderr.count("\n") == 1


def test_press_prints_the_accuracy_before_and_after(road: Road, tmp_path: Path) -> None:
    own = (road.path("plain"), "--model", road.factory, "--data", road.data, "--max-error", 0.5)
    quick = ("--finetune-epochs", 0, "--convert-epochs", 1, "--no-augment")
    shown = call("press", *own, *quick, "-o", tmp_path / "bundle")
    assert shown.exit_code == 0, shown.stderr
    found = re.search(r"accuracy (0\.\d{4}|1\.0000) -> (0\.\d{4}|1\.0000) on 80 test images, in clear", shown.stdout)
    assert found, shown.stdout
    about = call_json("inspect", tmp_path / "bundle")["about"]
    assert [f"{about[name]:.4f}" for name in ("accuracy_plain", "accuracy_after")] == [found[1], found[2]]
    assert about["accuracy_plain"] == road.results["train"]["accuracy_plain"]
    measured = call_json("infer", tmp_path / "bundle", "--data", road.data, "--images", 2)
    assert measured["accuracy_plain"] == about["accuracy_plain"]


def test_bench_outside_a_checkout_says_that_it_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cp, "__file__", str(tmp_path / "cipherpress" / "__init__.py"))
    monkeypatch.setattr("cipherpress.commands.machine.find_spec", lambda name: None)
    result = call("bench", "peers", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "an installation without benchmarks" in result.stderr and "clone the project" in result.stderr


def test_an_unknown_benchmark_is_refused(tmp_path: Path) -> None:
    result = call("bench", "speed", "-o", tmp_path / "out")
    assert result.exit_code == 1 and "benchmark: got 'speed'; allowed: peers, savings" in result.stderr


def test_every_cost_model_can_be_chosen() -> None:
    assert set(COST_NAMES) == set(COSTS)


def test_commands_do_not_shadow_packages() -> None:
    names = {command.callback.__name__ for command in cli.COMMANDS if command.callback is not None}
    assert all(name.endswith("_command") for name in names)


@pytest.mark.parametrize(("count", "shown"), [(512, "512 B"), (90_512, "90.5 kB"), (1_760_000, "1.76 MB")])
def test_sizes_are_in_decimal_units(count: int, shown: str) -> None:
    assert size(count) == shown


def test_json_is_one_object_of_the_documented_keys() -> None:
    shown = call("models", "--json")
    assert json.loads(shown.stdout).keys() == {"models"} and shown.stderr == ""


@pytest.mark.parametrize("command", ["press", "run", "infer"])
def test_more_threads_than_cores_are_refused_before_any_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    needed = {
        "press": ("mlp", "--data", "mnist", "-o", tmp_path / "out"),
        "run": ("bundle", "--key", "evaluation.key", "--input", "x.ct", "-o", tmp_path / "out"),
        "infer": ("bundle", "--data", "mnist"),
    }
    result = call(command, *needed[command], "--threads", 99)
    assert result.exit_code == 1
    assert result.stderr == "error: threads: got 99; allowed: 1 to 2, the cores that this process may use\n"


@pytest.mark.parametrize("command", ["train", "compress", "convert", "press"])
def test_a_negative_seed_is_refused(command: str, tmp_path: Path) -> None:
    result = call(command, "mlp", "--data", "mnist", "--seed", -1, "-o", tmp_path / "out")
    assert result.exit_code == 2 and "-1 is not in the range x>=0" in result.stderr


def test_a_server_says_that_it_compiles_its_kernels_first(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ("--key", road.path("keys/evaluation.key"), "--input", road.path("x.ct"))
    monkeypatch.setattr("secure.engine.compiled.FOLDER", tmp_path / "none")
    shown = call("run", road.path("bundle"), *files, "-o", tmp_path / "y.ct")
    assert shown.stderr == "compiling the engine's kernels: once per installation, half a minute or more\n"
    monkeypatch.undo()
    assert call("run", road.path("bundle"), *files, "-o", tmp_path / "z.ct").stderr == ""


def test_help_of_bench_names_every_benchmark() -> None:
    from benchmarks import BENCHMARKS

    assert f"NAMES: {', '.join(BENCHMARKS)}." in " ".join(call("bench", "--help").stdout.split())


def test_keys_do_not_go_into_a_file(road: Road, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    result = call("keygen", road.path("bundle"), "-o", tmp_path / "thesis.txt")
    assert result.exit_code == 1
    assert result.stderr == f"error: output: got '{tmp_path / 'thesis.txt'}'; allowed: a folder; this is a file\n"
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def option_defaults(command: str) -> dict[str, object]:
    """Default of every option of a command, by the name of its parameter."""
    own = cli.main.commands[command]
    with click.Context(own) as context:
        return {parameter.name or "": parameter.get_default(context) for parameter in own.params}


def test_defaults_on_the_command_line_are_those_in_python() -> None:
    convert, conversion = option_defaults("convert"), cp.Conversion()
    assert (convert["degree"], convert["epochs"], convert["learning_rate"], convert["per_channel"]) == (
        conversion.degree,
        conversion.epochs,
        conversion.learning_rate,
        conversion.per_channel,
    )
    limits = cp.Limits()
    for command in ("compile", "press"):
        given = option_defaults(command)
        assert given["max_disagreement"] == limits.max_disagreement
        assert (given["keys_bytes"], given["upload_bytes"]) == (limits.keys_bytes, limits.upload_bytes)
    search = cp.Search()
    assert (option_defaults("press")["max_trials"], option_defaults("press")["minutes"]) == (
        search.max_trials,
        search.minutes,
    )


def test_help_of_press_states_the_defaults_of_setting() -> None:
    text, setting = " ".join(call("press", "--help").stdout.split()), cp.Setting()
    for said in (
        f"(default: the network's preset, or {setting.sparsity:g})",
        f"(default: the preset, or {setting.bits:g})",
        f"Default: the preset, or {setting.finetune_epochs}.",
        f"Default: the preset, or {EPOCHS}; for few rows more.",
        f"Default: the preset, or {setting.convert_learning_rate:g}.",
        f"(default: the preset, or {setting.cost})",
    ):
        assert said in text
    words = f"Default: {EPOCHS}, or more where few rows would make fewer than {LEAST_STEPS} steps."
    assert words in " ".join(call("convert", "--help").stdout.split())
