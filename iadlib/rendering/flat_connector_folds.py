"""The scenes of the flat connector on rumpled black cloth, with deep folds close to the plate, lint, fluff and dust.

The light from one side shades the folds. The ground therefore has edges of its own, some as strong as those of a
damaged plate.
"""

from dataclasses import replace
from functools import partial

from iadlib.rendering import flat_connector, surfaces

rumpled_cloth = partial(
    surfaces.cloth, folds=surfaces.deep_folds, lies_beyond=2.5, points_per_mm=2, lint=(200, 350), tufts=12, sheen=0.5
)
CATEGORY = replace(
    flat_connector.CATEGORY,
    shapes=partial(flat_connector.shapes, make_ground=rumpled_cloth),
    paired_with="flat_connector",
)
