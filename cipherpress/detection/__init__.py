"""Object detection behind a network: which of many overlapping boxes stay.

boxes.py      boxes, scores and classes, checked; overlap; the order of equal scores
anchors.py    Anchors: scales, ratios, cells and pooling kernels
recovery.py   the cell and the channel that a box belongs to now
pools.py      the windows of all pools with all shifts
kernels.py    the compiled loops
psrr.py       psrr_nms and maxpool_nms
greedy.py     greedy_nms, the baseline
pairwise.py   the same selection as PSRR, pair by pair
cells.py      one score per cell, for an encrypted selection
grid.py       Grid: from a detector's outputs to boxes
precision.py  average precision of detections
drawing.py    boxes on a picture, as PNG
"""
