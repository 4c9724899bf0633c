"""Rendered categories: images of solid geometry with exact ground truth.

`category` defines the interface of a category, `scene` the recording set-up, `solids` and `surfaces` geometry and
materials, and `writing` the folder of a category. Every other module but `card` is one category.
"""

from iadlib.rendering.writing import CATEGORIES, ON_HARDER_GROUND, plan_of, render_category, rendered_category
