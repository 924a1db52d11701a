"""What a draft does to the answer: noise at its outputs, room in its modulus, which draft is better.

sources.py       where a draft's noise comes from, stage by stage
floor.py         a lower bound of a draft's noise that is cheap to compute
propagate.py     the noise of a draft, stage by stage
met_power.py     the mean squares of the slots that a layout's weights multiply
slot_values.py   the slots of a draft's values on calibration images
edges.py         inputs at the edge of the accepted range
headroom.py      how large the coefficients of a layout's values get
ranking.py       which of two drafts with parameters is better
"""
