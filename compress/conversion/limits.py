"""What options of conversion may be, for the command line too. Loads nothing."""

from __future__ import annotations

#: What training images show, which decides how they are changed at random.
IMAGES = ("handwriting", "pictures")

#: Bits behind the point that weights may keep. With fewer, deep networks lose their accuracy.
FRACTION_BITS = range(4, 17)
