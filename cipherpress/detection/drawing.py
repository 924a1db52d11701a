"""Boxes drawn on a grey picture, as PNG. Needs pillow."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError

#: Colours of the classes, which stay apart for most colour-blind people (Okabe and Ito), then lighter ones.
COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff", "#b2df8a", "#cab2d6",
)  # fmt: skip


def drawn(
    picture: NDArray[np.float64],
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    classes: NDArray[np.int64],
    scale: int = 8,
) -> bytes:
    """A PNG of a picture (height, width) in [0, 1], `scale` times larger, with boxes (n, 4), classes and scores.

    Raises: ConfigError where pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise ConfigError("output", "boxes.png", "nothing without pillow: install cipherpress[data]") from error
    height, width = picture.shape
    grey = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
    large = grey.resize((width * scale, height * scale), Image.Resampling.NEAREST).convert("RGB")
    draw = ImageDraw.Draw(large)
    for box, score, number in zip(boxes * scale, scores, classes, strict=True):
        colour = COLOURS[int(number) % len(COLOURS)]
        draw.rectangle(box.tolist(), outline=colour, width=max(1, scale // 4))
        label = f"{int(number)} {score:.2f}"
        corner = box[0] + 2, max(0.0, box[1] - 12)
        draw.rectangle(draw.textbbox(corner, label), fill="#000000")
        draw.text(corner, label, fill=colour)
    content = BytesIO()
    large.save(content, format="PNG")
    return content.getvalue()
