"""Names that the options of block pruning may take. Loads no torch."""

#: Cost models by name (see `compress.blocks.cost.COSTS`); the first is the default.
COST_NAMES = ("ckks-diagonals", "plain-blocks", "block-count")
