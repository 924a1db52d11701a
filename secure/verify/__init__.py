"""Client and server in one process: round trips and the search for bad inputs.

roundtrip.py        client and server in one process over test images
batch_roundtrip.py  the same of a bundle for throughput
scored.py           outputs against labels
verification.py     whether bound and modulus hold on the worst inputs that a search finds
worst_case.py       the search for inputs with the largest coefficients and errors
memory.py           how much memory this process has taken
"""
