"""The scenes of the flat connector on a grey cutting mat, pebbled, with a printed grid, cuts, rubs and dust.

The mat is about as bright as the darker parts of the metal, so that no single threshold separates the two.
"""

from dataclasses import replace
from functools import partial

from iadlib.rendering import flat_connector, surfaces

CATEGORY = replace(
    flat_connector.CATEGORY,
    shapes=partial(flat_connector.shapes, ground="mat", make_ground=surfaces.mat),
    paired_with="flat_connector",
)
