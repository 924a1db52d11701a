"""Evaluation keys of our own: made by the client, packed, cut to the level of their use, read by the engine or by SEAL.

compiled.py   how the kernels of this room are compiled
secret.py     the client's secret modulo every prime
making.py     the client makes keys
reading.py    a server reads them
seal_form.py  the same keys as SEAL's bytes, for plans that SEAL can run
loading.py    a client's keys for the engine or for SEAL, in either form
"""
