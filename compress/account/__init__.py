"""The size of a compressed model, to the bit, and how that is shown.

accounting.py        the size of a compressed model, every bit counted
adaptive_coding.py   positions and values of a layer in one arithmetic code
entropy.py           lengths of Golomb-Rice codes, to the bit
inspection.py        models and networks as rows for people
allocation_plot.py   a compressed model by layer as a picture (optional matplotlib)
"""
