"""Encrypted inference over HTTP: the server.

paths.py       paths and headers that server and client share
settings.py    what a server is told when it starts
serving.py     the socket, uvicorn, signals
connections.py connections within limits of time and size
app.py         all routes, errors as answers, headers
service.py     the state of one server
inference.py   the route that runs models
key_routes.py  the routes of evaluation keys
openapi.py     the description of the interface
bodies.py      bodies as they arrive, within limits
spool.py       files for bodies that are too large for memory
refusals.py    why a request is refused
offers.py      what is offered of each bundle
tenants.py     who may use the server
keystore.py    evaluation keys on disk
clock.py       the running time that keys expire by
queueing.py    the queue in front of the workers
workers.py     the worker processes, as the server sees them
messages.py    messages between processes
computing.py   the processes that compute
cluster.py     replicas on a Ray cluster in place of worker processes
replica.py     one of these replicas
warming.py     the kernels of bundles, compiled before anybody waits
parties.py     the servers of all bundles in one process
metrics.py     counts and times
logs.py        structured logs
"""
