"""Encrypted inference over HTTP: the client.

client.py        RemoteClient and AsyncRemoteClient
talking.py       what is said to a server, step by step, with retries
steps.py         steps: calls, pauses, computations; who performs them
key_folder.py    the keys of one bundle in a folder, and the bundle that they are pinned to
"""
