"""SEAL's objects: contexts, bytes, sizes, its evaluator. With parties/keys.py the only TenSEAL in secure/.

context.py     SEAL's contexts, bytes and exceptions
frame.py       what SEAL's bytes claim, read before SEAL sees them
evaluator.py   the real evaluator, on SEAL ciphertexts
sizes.py       how large SEAL's objects are on the wire
"""
