"""Randomness by ChaCha20, and residues as bit strings: what batches and evaluation keys are made of.

compiled.py  how the kernels of this room are compiled
chacha.py    ChaCha20, eight blocks at a time
sampling.py  uniform residues and errors from streams
bits.py      residues as bit strings
"""
