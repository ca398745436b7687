"""Comparing what a page looks like with what it looked like when somebody last judged it.

In: a picture, its name. Out: which share of it differs. The pictures are in `pictures/`; `python -m pytest -m long
tests/screens/test_look.py --looks` writes them anew, to be looked at before they are committed.
A difference of a few grey levels is the font rasteriser's; what counts is the share of places that differ clearly.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = Path(__file__).with_name("pictures")
COLOURS = 48
CLEARLY = 60  # of 255


def kept(picture: bytes, name: str) -> None:
    """Keep it as what is right, small."""
    PICTURES.mkdir(exist_ok=True)
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(PICTURES / f"{name}.png", optimize=True)


def difference(picture: bytes, name: str) -> float:
    """The share of blocks of 4 by 4 pixels whose mean differs clearly; 1.0 for another size."""
    is_, was = (_blocks(Image.open(each)) for each in (io.BytesIO(picture), PICTURES / f"{name}.png"))
    if is_.shape != was.shape:
        return 1.0
    return float((np.abs(is_ - was).max(axis=2) > CLEARLY).mean())


def _blocks(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture.convert("RGB"), dtype=np.int16)
    high, wide = (size // 4 * 4 for size in pixels.shape[:2])
    return pixels[:high, :wide].reshape(high // 4, 4, wide // 4, 4, 3).mean(axis=(1, 3))
