"""SEAL through TenSEAL: contexts, bytes, sizes and its evaluator. Beside it, only parties/keys.py imports TenSEAL.

context.py          SEAL's contexts, bytes and exceptions
frame.py            the headers of SEAL's bytes, checked before SEAL reads them
saved.py            the fields of a saved ciphertext and key
key_frames.py       the bytes of evaluation keys, checked index by index before SEAL reads them
evaluation_keys.py  a client's evaluation keys as SEAL's objects
evaluator.py        the evaluator on SEAL ciphertexts
sizes.py            how large SEAL's objects are on the wire
"""
