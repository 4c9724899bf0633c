"""The study's figures, drawn from plain arrays and tables.

Each function returns a matplotlib figure, except `heat_map_picture`, which returns a Pillow image. A function's module
is imported when the function is first used, so that `heat_map_picture` does not wait for matplotlib.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "calibration": ["calibration_functions", "reliability_diagrams"],
    "connector": ["defect_heat_map", "detection_by_size", "radius_curves", "size_and_strength"],
    "entries": ["costs", "critical_differences", "kinds_of_entries", "leads"],
    "images": ["gallery", "image_grid", "maps_by_detector", "saturation_curves", "saturation_steps"],
    "intervals": ["differences", "differences_in_panels"],
    "learning": ["cumulative_variance", "discriminator_curves", "learning_curves"],
    "pictures": ["heat_map_picture"],
    "scores": ["kind_comparison", "roc_by_detector", "scores_by_detector"],
    "style": ["KIND_COLOURS"],
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
