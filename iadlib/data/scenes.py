"""The numbers that the defects of a rendered flat connector were drawn with, from the scenes beside its images."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd

from iadlib.data.category import Category

# The size of a defect: what it is, and how it follows from the numbers in the scene.
DEFECT_SIZES: dict[str, tuple[str, Callable[[dict], float]]] = {
    "scratch": ("length, mm", lambda drawn: drawn["length"]),
    "damaged_edge": ("depth, mm", lambda drawn: drawn["depth"]),
    "cut_corner": ("mean leg, mm", lambda drawn: float(np.mean(drawn["legs"]))),
    "resized_hole": ("change of diameter, mm", lambda drawn: abs(drawn["diameter"] - drawn["intact_diameter"])),
    "missing_hole": ("diameter, mm", lambda drawn: drawn["diameter"]),
    "additional_hole": ("diameter, mm", lambda drawn: drawn["diameter"]),
}


def drawn_defects(category: Category) -> pd.DataFrame:
    """name, defect, size (see `DEFECT_SIZES`), pixels, contrast and strength of every defective test image.

    Contrast: the mean absolute difference in the region, in grey levels, to the same scene without the defect.
    Strength: of a scratch, 0 to 1.
    """
    rows = []
    for name, defect in zip(category.of("test")["name"], category.defects(), strict=True):
        if defect != "good":
            drawn = json.loads((category.root / "scenes/test" / f"{name}.json").read_text())["defect"]
            size, contrast = DEFECT_SIZES[defect][1](drawn), drawn["contrast_grey_levels"]
            rows.append((name, defect, size, drawn["region_pixels"], contrast, drawn.get("strength", np.nan)))
    return pd.DataFrame(rows, columns=["name", "defect", "size", "pixels", "contrast", "strength"])
