"""Client and server in one process: round trips and the search for bad inputs.

roundtrip.py      client and server in one process over test images
verification.py   the inputs that a bundle stands worst, found in clear and run encrypted
worst_case.py     the search for inputs that a plan stands worst
memory.py         how much memory this process has taken
"""
