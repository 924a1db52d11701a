"""One walk along a Plan, and the evaluators in clear: slots, levels, derivatives.

walk.py      one walk along a Plan for every evaluator
clear.py     the evaluator in clear: slots as float64
dry.py       the evaluator of levels, scales and parts only
adjoint.py   derivatives of a Plan by its inputs
"""
