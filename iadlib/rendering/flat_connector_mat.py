"""The scenes of the flat connector on a grey cutting mat, pebbled, with a printed grid, cuts, rubs and dust.

The mat is about as bright as the darker parts of the metal, so that no single threshold separates the two.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from iadlib.rendering import flat_connector, surfaces


def make_mat(rng: np.random.Generator, flat: np.ndarray) -> tuple[object, dict]:
    """The mat, which is flat everywhere, whatever the outline `flat` of the part."""
    return surfaces.mat(rng)


CATEGORY = replace(
    flat_connector.CATEGORY,
    shapes=partial(flat_connector.shapes, ground="mat", make_ground=make_mat),
    paired_with="flat_connector",
)
