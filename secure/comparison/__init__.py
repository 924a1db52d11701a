"""Comparisons on encrypted numbers: signs as composite polynomials, and which cells of a grid beat their neighbours.

minimax.py   the odd polynomial nearest to 1 on an interval
sign.py      composites of them, with a certified bound
grid.py      every cell beside all its neighbours in the slots of one ciphertext
keeping.py   keep bits of a grid of scores, by the operations of CKKS
plain.py     the same rule on scores in clear
planning.py  these operations as a Plan
bundling.py  what client and server need to know
"""
