"""The flat connector, image for image, on a grey cutting mat: pebbled, with a printed grid, cuts, rubs and dust.

The mat is about as bright as the darker parts of the metal, so that no one threshold parts the two.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from iadlib.rendering import flat_connector, surfaces


def lay(rng: np.random.Generator, flat: np.ndarray) -> tuple[object, dict]:
    """The mat, which is flat everywhere and so need not know where the part lies."""
    return surfaces.mat(rng)


CATEGORY = replace(
    flat_connector.CATEGORY,
    things=partial(flat_connector.things, ground="mat", lay=lay),
    paired_with="flat_connector",
)
