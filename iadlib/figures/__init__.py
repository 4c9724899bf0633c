"""The study's pictures, from plain arrays and tables; each function returns a matplotlib figure."""

from iadlib.figures.calibration import calibration_functions, reliability_diagrams
from iadlib.figures.connector import defect_heat_map, detection_by_size, radius_curves, size_and_strength
from iadlib.figures.ensembles import cumulative_variance, differences, differences_in_panels, discriminator_curves
from iadlib.figures.images import (
    gallery,
    heat_map_panel,
    image_grid,
    maps_side_by_side,
    saturation_curves,
    saturation_steps,
)
from iadlib.figures.scores import kind_comparison, learning_curve, roc_curves, score_histogram, scores_by_defect
from iadlib.figures.style import KIND_COLOURS

__all__ = [
    "KIND_COLOURS",
    "calibration_functions",
    "cumulative_variance",
    "defect_heat_map",
    "detection_by_size",
    "differences",
    "differences_in_panels",
    "discriminator_curves",
    "gallery",
    "heat_map_panel",
    "image_grid",
    "kind_comparison",
    "learning_curve",
    "maps_side_by_side",
    "radius_curves",
    "reliability_diagrams",
    "roc_curves",
    "saturation_curves",
    "saturation_steps",
    "score_histogram",
    "scores_by_defect",
    "size_and_strength",
]
