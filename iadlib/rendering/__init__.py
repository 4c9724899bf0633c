"""Rendered categories: photographs of solid geometry whose ground truth is exact.

`category` says what a category is, `scene` is the recording set-up, `surfaces` and `solids` are what things are made
of, `writing` makes the folder. Every other module is one category.
"""

from iadlib.rendering.category import Defect, RenderedCategory, Rule, Scale
from iadlib.rendering.writing import CATEGORIES, ON_HARDER_GROUND, plan_of, render_category, rendered_category

__all__ = [
    "CATEGORIES",
    "ON_HARDER_GROUND",
    "Defect",
    "RenderedCategory",
    "Rule",
    "Scale",
    "plan_of",
    "render_category",
    "rendered_category",
]
