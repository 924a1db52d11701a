"""SEAL's seeded ciphertexts without SEAL: the random half from its seed, and the bytes as arrays. Nothing here is
secret.

expansion.py   the residues that SEAL's generator makes of a seed
reading.py     the bytes of a seeded ciphertext as the engine's residues, after all checks
keys.py        the bytes of a seeded key as the engine's residues
"""
