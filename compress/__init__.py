"""From a torch model to a small, CKKS-friendly, frozen Network. Torch ends in this package.

errors.py      the error tree of the whole project
network.py     the frozen Network and its numpy run (the waist: everything after it is compared with it)
"""
