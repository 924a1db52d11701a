"""What a draft does to the answer: noise at its outputs, room in its modulus, which draft is better.

sources.py       where a draft's noise comes from, and the variance of every source
reach.py         how far errors reach, by features: for all layouts of a network
slot_reach.py    how far errors reach in the slots of one layout
propagate.py     the noise of a draft, for the search
rounding.py      the exact error that rounded plaintexts make
assessment.py    what a draft promises, from rows of inputs
tail.py          upper limits from few numbers: of a tail, of a mean
looseness.py     bounds far beyond what the rows show
synthetic.py     more inputs that are drawn like given rows
severity.py      which inputs of many have the largest errors, whatever the plan
met_power.py     the mean squares of the slots that a layout's weights multiply
slot_values.py   the slots of a draft's values on calibration images
edges.py         inputs at the edge of the accepted range
headroom.py      how large the coefficients of a layout's values get
ranking.py       which of two drafts with parameters is better
"""
