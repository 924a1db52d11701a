"""What a network costs, in clear and encrypted: counts a Network or a Plan and prices it. No torch, nothing is run.

band.py           a value with its low and high; the only arithmetic that prices use
architecture.py   the families of machines, their coefficients (value, unit, band, source, kind), and their files
architectures/    one YAML file a machine
counts.py         work: of a Network by layer, of a Plan by layer, operation and level
cost.py           what one layer costs, with its parts
plain.py          prices of a network in clear
ckks.py           prices of a plan
report.py         estimate, compare: the reports people read
plots.py          the comparison as a picture (optional matplotlib)
fitting.py        kernel times from measured operations (pure)
"""
