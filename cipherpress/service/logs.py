"""Structured logs: one JSON object per line. They name tenants, models, sizes and times, and never hold a payload."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

logger = logging.getLogger("cipherpress.service")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        stated = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{stated}.{record.msecs:03.0f}Z", "level": record.levelname.lower()}
        if record.exc_info:
            fields = {**fields, "trace": self.formatException(record.exc_info)}
        return json.dumps({**line, "event": record.getMessage(), **fields})


def log(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """One line. Fields that are None are left out."""
    logger.log(level, event, extra={"fields": {name: value for name, value in fields.items() if value is not None}})


def log_to_stderr(quiet: bool) -> None:
    """Write the lines of this service, and the warnings of what it stands on, to stderr. quiet: only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for one in (logger, logging.getLogger("uvicorn")):
        one.handlers, one.propagate = [handler], False
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
