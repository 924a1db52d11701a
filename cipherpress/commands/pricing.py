"""estimate, report: what networks and bundles cost on modelled machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import Destination, load_artifact, load_bundle
from cipherpress.commands.command import command
from cipherpress.commands.console import Output, size
from cipherpress.commands.options import bundle_argument, force_option, output_options, path_option
from compress.errors import FormatError, ModelError
from secure.limits import MODES

if TYPE_CHECKING:
    from hwmodel.architecture import Architecture
    from hwmodel.report import Comparison
    from hwmodel.variants import VariantTable

#: Pictures that need several MODELs; the others need one.
OF_SEVERAL = ("waterfall", "pareto")


@command("estimate", "cipherpress estimate out/bundle --arch cpu-seal --arch eyeriss")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--arch",
    "names",
    multiple=True,
    help="An architecture's name or YAML file; repeat for several (default: all that fit).",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="Refuse bundles that are compiled for another mode (default: each bundle's own).",
)
@click.option("--node", "node_nm", type=float, help="Scale the machines' energies to this technology node, in nm.")
@path_option("--plot", help="Save the comparison as a picture (needs cipherpress[plots]).")
@click.option(
    "--picture",
    type=click.Choice(("costs", "energy", "roofline", *OF_SEVERAL)),
    help="What --plot shows. Of one MODEL: costs (default), energy by component, or rooflines. Of several bundles: the "
    "way from the first in clear to the last encrypted (waterfall, default), or accuracy against encrypted latency.",
)
@force_option
def estimate_command(
    out: Output,
    models: tuple[str, ...],
    names: tuple[str, ...],
    mode: str | None,
    node_nm: float | None,
    plot: Path | None,
    picture: str | None,
    force: bool,
) -> None:
    """Modelled latency and energy of a converted network or a known shape (plain), or of a bundle (plain and
    encrypted). Of a bundle for throughput it is one image's share of a full block.

    Several MODELs are compared with the first one. Shapes: alexnet, deit-b, deit-s, resnet20, vgg16.
    """
    from hwmodel.variants import compare_variants

    if picture is not None and (len(set(models)) > 1) is not (picture in OF_SEVERAL):
        raise click.UsageError(
            f"--picture {picture} takes {'several MODELs' if picture in OF_SEVERAL else 'one MODEL'}"
        )
    if plot is not None:
        Destination(plot, force).refuse_existing()
    distinct = dict.fromkeys(models)
    short = {Path(model).name for model in distinct}
    subjects = {Path(model).name if len(short) == len(distinct) else model: _priced(model, mode) for model in distinct}
    bundles = all(isinstance(one, cp.Bundle | cp.BatchBundle) for one in subjects.values())
    machines = _machines(names, node_nm, encrypted=bundles)
    if len(subjects) > 1:
        variants = compare_variants(subjects, machines, _accuracies(subjects))
        if plot is not None:
            _plot_variants(variants, machines, picture, plot, force)
        out.result(variants.to_json(), str(variants))
        return
    comparison = cp.compare(next(iter(subjects.values())), machines)
    if plot is not None:
        _plot_comparison(comparison, machines, picture, plot, force)
    out.result(comparison.to_json(), str(comparison))


def _machines(names: tuple[str, ...], node_nm: float | None, *, encrypted: bool) -> list[Architecture]:
    """The architectures named, or all that can run the subjects; at another technology node if one is given."""
    from hwmodel.architecture import PLAIN
    from hwmodel.architecture_file import list_architectures, load_architecture
    from hwmodel.node import at_node

    machines = [load_architecture(name) for name in names or list_architectures()]
    if not names:
        machines = [machine for machine in machines if encrypted or PLAIN in machine.modes]
    return machines if node_nm is None else [at_node(machine, node_nm) for machine in machines]


def _accuracies(subjects: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy in clear of the bundles that know theirs."""
    bundles = {name: one for name, one in subjects.items() if isinstance(one, cp.Bundle | cp.BatchBundle)}
    reports = {name: bundle.report for name, bundle in bundles.items()}
    return {
        name: report["about"]["accuracy_after"]
        for name, report in reports.items()
        if "accuracy_after" in report.get("about", {})
    }


def _plot_comparison(
    comparison: Comparison, machines: Sequence[Architecture], picture: str | None, plot: Path, force: bool
) -> None:
    from hwmodel.plots import save_energy_plot, save_plot, save_roofline_plot

    if picture == "roofline":
        save_roofline_plot(comparison, {machine.name: machine for machine in machines}, plot, force=force)
    else:
        (save_energy_plot if picture == "energy" else save_plot)(comparison, plot, force=force)


def _plot_variants(
    variants: VariantTable, machines: Sequence[Architecture], picture: str | None, plot: Path, force: bool
) -> None:
    """A picture of several models on the first machine that runs them both in clear and encrypted."""
    from hwmodel.architecture import ENCRYPTED, PLAIN
    from hwmodel.plots import save_pareto_plot, save_waterfall_plot

    both = [machine.name for machine in machines if {PLAIN, ENCRYPTED} <= set(machine.modes)]
    if not both:
        raise click.UsageError("--plot of several MODELs needs a machine with both modes; add --arch cpu-engine")
    if picture == "pareto":
        save_pareto_plot(variants, both[0], plot, force=force)
    else:
        save_waterfall_plot(variants, both[0], both[0], plot, force=force)


def _priced(model: str, mode: str | None) -> Any:
    """What can be priced: the workload of a known shape, a converted network or a bundle, of a mode if one is given."""
    from hwmodel.shapes import SHAPES, shape_workload

    if model in SHAPES:
        return shape_workload(model)
    loaded = load_artifact(model)
    if not isinstance(loaded, cp.Network | cp.Bundle | cp.BatchBundle):
        raise ModelError(
            f"model '{model}': only converted networks and bundles can be priced; run `cipherpress convert` first"
        )
    found = MODES[isinstance(loaded, cp.BatchBundle)]
    if mode is not None and (isinstance(loaded, cp.Network) or mode != found):
        what = "a network" if isinstance(loaded, cp.Network) else f"a bundle for {found}"
        raise ModelError(f"model '{model}': {what}; compile it with --mode {mode} first")
    return loaded


@command("report", "cipherpress report out/bundle -o report.html")
@bundle_argument
@click.option("--arch", "names", multiple=True, help="An architecture's name or YAML file (default: all).")
@path_option("--measured", help="A file of what `infer --json` printed; its figures stand beside the modelled ones.")
@output_options
def report_command(
    out: Output, bundle: Path, names: tuple[str, ...], measured: Path | None, output: Destination
) -> None:
    """One self-contained page about a bundle: network, compression, plan, security, accuracy, costs and charts."""
    from hwmodel.page import report_page

    output.refuse_existing()
    loaded = load_bundle(bundle)
    machines = _machines(names, None, encrypted=True)
    run = None if measured is None else _measured_run(measured)
    page = report_page(loaded.report, cp.compare(loaded, machines), machines, run).encode()
    output.write(page)
    out.result({"path": str(output.path), "bytes": len(page)}, f"saved {output.path}, {size(len(page))}")


def _measured_run(path: Path) -> dict[str, Any]:
    from compress.json_file import read_object

    try:
        run = read_object(path)
    except FormatError as error:
        raise FormatError(f"{error}; save what `cipherpress infer BUNDLE --json` prints") from error
    if "server_ms" not in run:
        raise FormatError(f"{path}: field server_ms is missing; save what `cipherpress infer BUNDLE --json` prints")
    return run
