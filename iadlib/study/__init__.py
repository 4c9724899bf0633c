"""Glue for the notebooks: reads the results of the commands into tables, and chooses the images that are shown.

Nothing is fitted here, and metrics come from `iadlib.metrics`. `paths` knows where the files of a profile are, and the
other modules serve one notebook each.
"""

from iadlib.figures.saving import save, show
from iadlib.figures.text import ordered, shown, titled, with_titles
from iadlib.files import ROOT
from iadlib.study.paths import Study
from iadlib.study.published import measured
