"""Names that server and client share: paths, headers, and the sizes that both count with."""

from __future__ import annotations

#: Health, the server itself, its models and keys (Open Inference Protocol, version 2; keys are our own).
LIVE, READY = "/v2/health/live", "/v2/health/ready"
SERVER, MODELS, MODEL = "/v2", "/v2/models", "/v2/models/{name}"
MODEL_READY, CLIENT_PART, INFER = f"{MODEL}/ready", f"{MODEL}/client", f"{MODEL}/infer"
KEYS, KEY = "/v2/keys", "/v2/keys/{sha256}"
METRICS, OPENAPI, DOCS, PAGE = "/metrics", "/openapi.json", "/docs", "/ui"

#: How many bytes of an upload the server holds, how many it will have, and whether it is complete (`?1` or `?0`).
OFFSET, LENGTH, COMPLETE = "Upload-Offset", "Upload-Length", "Upload-Complete"
#: Bytes of JSON before a binary body. Bodies here are binary as a whole, so it is 0 where it is given.
JSON_LENGTH = "Inference-Header-Content-Length"
#: What a server took for a request: `plan` is the time of the plan alone.
TIMING = "Server-Timing"
BINARY = "application/octet-stream"

#: The type of an error in a reply, where a client acts on it.
KEY_MISSING, QUOTA, BUSY, WRONG_OFFSET = "KeyNotRegisteredError", "QuotaError", "BusyError", "OffsetError"
