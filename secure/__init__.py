"""From a Network to encrypted inference. No torch here, so that a server starts without it.

params.py             rings, moduli, the security tables
plan.py               the frozen Plan: a straight-line program over ciphertexts
kernels.py            what one operation costs in transforms, products and bytes
"""
