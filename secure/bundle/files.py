"""A bundle on disk, of either mode: client.json (no weights), server/ (plan and constants, no secret), report.json."""

from __future__ import annotations

from pathlib import Path

from compress.errors import FormatError, PlanError
from secure.bundle.batch_plan_file import batch_client_disagreement, batch_plan_content, batch_server_spec
from secure.bundle.batch_specs import BatchBundle, BatchClientSpec, BatchServerSpec
from secure.bundle.client_file import client_digest, client_json
from secure.bundle.client_file import load_client as load_client
from secure.bundle.client_parts import CLIENT_FILE as CLIENT_FILE
from secure.bundle.client_parts import THROUGHPUT, read_mode
from secure.bundle.folder import CONSTANTS_FILE as CONSTANTS_FILE
from secure.bundle.folder import PLAN_FILE as PLAN_FILE
from secure.bundle.folder import REPORT_FILE as REPORT_FILE
from secure.bundle.folder import check_client, read_plan, read_report, stated_bindings, write_bundle
from secure.bundle.plan_file import client_disagreement as client_disagreement
from secure.bundle.plan_file import plan_content, read_latency_plan
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.coded.plan import BatchPlan
from secure.evaluators.dry import dry_run
from secure.plan import Plan


def plan_digest(plan: Plan | BatchPlan) -> str:
    """The id of a bundle: sha256 (hex) over its whole plan, with the constants."""
    content = batch_plan_content(plan) if isinstance(plan, BatchPlan) else plan_content(plan)
    return content.digest


def save_bundle(bundle: Bundle | BatchBundle, folder: str | Path, force: bool = False) -> None:
    """Write the folder, whole or not at all; the same bundle gives the same bytes.

    Raises: as `compress.artifact.write_folder`.
    """
    plan = bundle.server.plan
    content = batch_plan_content(plan) if isinstance(plan, BatchPlan) else plan_content(plan)
    client = bundle.client
    write_bundle(Path(folder), content, client_json(client), client_digest(client), bundle.report_json(), force=force)


def load_bundle(folder: str | Path) -> Bundle | BatchBundle:
    """All three parts; they are checked to belong together, by the hashes of client.json and report.json in plan.json.

    Raises: FormatError naming file and field; InsecureParametersError.
    """
    path = Path(folder)
    client, server = load_client(path), load_server(path)
    if client.bundle_id != server.bundle_id:
        disagreement: str | None = "bundle_id"
    elif isinstance(client, BatchClientSpec) and isinstance(server, BatchServerSpec):
        disagreement = batch_client_disagreement(client, server.plan)
    elif isinstance(client, ClientSpec) and isinstance(server, ServerSpec):
        disagreement = client_disagreement(client, server.plan)
    else:
        disagreement = "mode"
    check_client(path, disagreement, client_digest(client), server.client_digest)
    report = read_report(path, server.report_sha256)
    if isinstance(client, BatchClientSpec):
        assert isinstance(server, BatchServerSpec), "client.json and plan.json are of one mode"
        return BatchBundle(client=client, server=server, report=report)
    assert isinstance(server, ServerSpec), "client.json and plan.json are of one mode"
    return Bundle(client=client, server=server, report=report)


def load_server(folder: str | Path) -> ServerSpec | BatchServerSpec:
    """The server's part alone: the plan, with every operation or step checked.

    Raises: FormatError, InsecureParametersError.
    """
    stated, constants = read_plan(Path(folder))
    if read_mode(stated) == THROUGHPUT:
        return batch_server_spec(stated, constants)
    plan = read_latency_plan(stated, constants)
    bundle_id = plan_digest(plan)
    client, report = stated_bindings(stated, bundle_id)
    try:
        dry_run(plan)
    except PlanError as error:
        raise FormatError(f"{stated.where}: field 'ops': {error}") from error
    return ServerSpec(bundle_id=bundle_id, plan=plan, client_digest=client, report_sha256=report)
