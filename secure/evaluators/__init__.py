"""The walk along a Plan that all evaluators follow, and the evaluators that need no encryption.

walk.py      runs the operations of a Plan on any evaluator
clear.py     the evaluator in clear: slots as float64 or complex128
dry.py       the evaluator of levels, scales and parts, without content
adjoint.py   derivatives of a Plan by its inputs (reverse mode)
"""
