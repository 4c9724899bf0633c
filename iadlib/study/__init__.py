"""Glue for the notebooks: reads the results of the commands into tables, and chooses the images that are shown.

Nothing is fitted here, and metrics come from `iadlib.metrics`. `paths` knows where the files of a profile are, `saving`
writes what a notebook shows, and the other modules serve one notebook each.
"""

from iadlib.figures.text import ordered, shown, titled, with_titles
from iadlib.study.paths import ROOT, Study
from iadlib.study.published import measured
from iadlib.study.saving import save, show
