"""What a draft does to the answer: noise at its outputs, room in its modulus, which draft is better.

sources.py       where a draft's noise comes from, by stage
floor.py         a floor under a draft's noise that costs next to nothing
propagate.py     the noise of a draft, stage by stage
met_power.py     what a layout's weights are multiplied by
slot_values.py   what slots hold on calibration images, partial sums included
headroom.py      how large the integers of a layout get
ranking.py       which of two drafts with parameters is better
"""
