"""From a Network to a Bundle: the search for the cheapest plan, and its report.

compile.py     compile_network: from a Network to a Bundle, by the cheapest plan that is precise enough
search.py      the choices, and the order in which they are tried
reporting.py   the compiler's report as plain JSON values
"""
