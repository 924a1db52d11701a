"""The search, the checkers, the report: Network in, Bundle out.

compile.py     compile_network: a Network in, a Bundle out, by the cheapest plan that is right
search.py      the choices, and which of them is tried first
reporting.py   the compiler's report as plain JSON values
"""
