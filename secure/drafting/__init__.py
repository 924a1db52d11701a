"""The Draft, the layouts offered to it, and what it will cost.

draft.py        what the passes fill in, step by step
splits.py       rotations divided into baby steps and giant steps
layouts.py      ways to lay out every value
stage_cost.py   what a stage costs, from its diagonals and rotations
work.py         how much work a draft will be, before its primes are chosen
"""
