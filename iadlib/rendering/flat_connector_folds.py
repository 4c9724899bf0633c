"""The flat connector, image for image, on its black cloth badly laid: deep folds up to the plate, lint, fluff and dust.

Light from one side shades the folds, so that the ground has edges of its own, some as strong as a damage's.
"""

from dataclasses import replace
from functools import partial

from iadlib.rendering import flat_connector, surfaces

rumpled = partial(
    surfaces.cloth, folds=surfaces.deep_folds, lies_beyond=2.5, points_per_mm=2, lint=(200, 350), tufts=12, sheen=0.5
)
CATEGORY = replace(
    flat_connector.CATEGORY,
    things=partial(flat_connector.things, lay=rumpled),
    paired_with="flat_connector",
)
