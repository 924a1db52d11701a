"""SEAL through TenSEAL: contexts, bytes, sizes and its evaluator. Beside it, only parties/keys.py imports TenSEAL.

context.py     SEAL's contexts, bytes and exceptions
frame.py       the headers of SEAL's bytes, checked before SEAL reads them
evaluator.py   the evaluator on SEAL ciphertexts
sizes.py       how large SEAL's objects are on the wire
"""
