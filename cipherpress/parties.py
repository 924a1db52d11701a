"""Client and Server of a bundle, by what the bundle was compiled for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from secure.bundle.batch_specs import BatchClientSpec, BatchServerSpec
    from secure.bundle.specs import ClientSpec, ServerSpec
    from secure.parties.client import Client as LatencyClient
    from secure.parties.keys import SecretKey
    from secure.parties.server import Server as LatencyServer
    from secure.streams.client import BatchClient
    from secure.streams.server import BatchServer


@overload
def Client(spec: ClientSpec, secret_key: SecretKey | None = None, **options: Any) -> LatencyClient: ...
@overload
def Client(spec: BatchClientSpec, secret_key: SecretKey | None = None, **options: Any) -> BatchClient: ...
def Client(spec: Any, secret_key: Any = None, **options: Any) -> Any:
    """The client of a bundle's client part: `secure.parties.client.Client` of one for latency, of one for throughput
    `secure.streams.client.BatchClient`. Without a secret key it makes its own keys.

    Raises: as those two.
    """
    from secure.bundle.batch_specs import BatchClientSpec

    if isinstance(spec, BatchClientSpec):
        from secure.streams.client import BatchClient

        return BatchClient(spec, secret_key, **options)
    from secure.parties.client import Client as LatencyClient

    return LatencyClient(spec, secret_key, **options)


@overload
def Server(spec: ServerSpec, **options: Any) -> LatencyServer: ...
@overload
def Server(spec: BatchServerSpec, **options: Any) -> BatchServer: ...
def Server(spec: Any, **options: Any) -> Any:
    """The server of a bundle's server part: `secure.parties.server.Server` of one for latency, of one for throughput
    `secure.streams.server.BatchServer`.

    Raises: as those two.
    """
    from secure.bundle.batch_specs import BatchServerSpec

    if isinstance(spec, BatchServerSpec):
        from secure.streams.server import BatchServer

        return BatchServer(spec, **options)
    from secure.parties.server import Server as LatencyServer

    return LatencyServer(spec, **options)
