"""The command `cipherpress`: its subcommands in one group, and every expected error as one line."""

from __future__ import annotations

from typing import Any

import click

import cipherpress as cp
from cipherpress.commands.checking import infer_command, verify_command
from cipherpress.commands.compressing import compress_command, convert_command, train_command
from cipherpress.commands.console import fail
from cipherpress.commands.demo import demo_command
from cipherpress.commands.detecting import detect_command
from cipherpress.commands.exporting import export_command
from cipherpress.commands.machine import bench_command, calibrate_command
from cipherpress.commands.parties import decrypt_command, encrypt_command, keygen_command, run_command
from cipherpress.commands.pressing import compile_command, press_command
from cipherpress.commands.pricing import estimate_command, report_command
from cipherpress.commands.selftesting import selftest_command
from cipherpress.commands.serving import predict_command, serve_command
from cipherpress.commands.showing import architectures_command, inspect_command, models_command
from compress.errors import CipherpressError

COMMANDS = (
    demo_command, models_command, architectures_command, train_command, compress_command,
    convert_command, compile_command, press_command, keygen_command, encrypt_command,
    run_command, decrypt_command, infer_command, verify_command, inspect_command,
    export_command, estimate_command, report_command, calibrate_command, bench_command,
    selftest_command, serve_command, predict_command, detect_command,
)  # fmt: skip


class _Group(click.Group):
    """Turns every expected error into one line on stderr and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except CipherpressError as error:
            fail(str(error))
        except OSError as error:
            fail(f"{error.filename or 'file'}: {error.strerror or error}")
        except KeyboardInterrupt:
            fail("interrupted; nothing was left half-written")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(cp.__version__, prog_name="cipherpress")
def main() -> None:
    """Compress a trained network for the ciphertext, compile it, and run it on encrypted data."""


for _command in COMMANDS:
    main.add_command(_command)


if __name__ == "__main__":
    main()
