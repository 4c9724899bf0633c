"""What all figures share: colours and names, panels, and text that is drawn as it is.

Colours stand for the same thing everywhere: good grey, logical blue, structural vermilion (Okabe and Ito's colours),
ground truth outlined in cyan. Kinds also differ by marker, and methods also by line style and marker, so that a figure
can be read in grey.
"""

import io
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import wraps
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from PIL import Image

from iadlib.figures.text import titles

DPI = 90  # pixels an inch, of a figure in a cell
NARROW = 3.8  # inches: the width of a figure whose text of 9 points can be read on a telephone
NARROW_LABELS = 20  # characters of a line of its row names
FILE_DPI, PHOTOGRAPH_DPI = 110, 72  # of its file, and of one that shows photographs
PHOTOGRAPH_QUALITY = 60  # of a JPEG
KIND_COLOURS = {"good": "0.55", "logical": "#0072B2", "structural": "#D55E00"}
KIND_MARKERS = {"good": "D", "logical": "o", "structural": "^"}
NOTHING = "nothing to draw"
GREY = "0.72"  # lines that are not highlighted
HIGHLIGHTS = 5  # lines in colour in one panel, at most
# Paul Tol's palette "muted" for colour-blind readers, then black and two colours of his palette "vibrant".
_COLOURS = (
    *("#332288", "#CC6677", "#117733", "#88CCEE", "#882255", "#999933", "#44AA99", "#AA4499", "#DDCC77"),
    *("#000000", "#EE7733", "#0077BB"),
)
_LINES, _MARKERS = ("-", "--", "-.", ":"), ("o", "s", "^", "D", "v", "P", "X")
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.8",
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "figure.titlesize": 11,
    "font.size": 9,
    "grid.color": "0.88",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "xtick.bottom": False,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "ytick.left": False,
}


def label(name: str, width: int | None = None) -> str:
    """An identifier as words, on lines of at most `width` characters if possible.

    >>> label("cut_corner")
    'cut corner'
    """
    words = str(name).replace("_", " ")
    return words if width is None else wrapped(words, width)


def wrapped(text: str, width: int) -> str:
    """The text on lines of at most `width` characters; longer words stay whole."""
    return fill(text, width, break_long_words=False)


def in_order(values: Iterable) -> list:
    """The different values in the order in which they first appear."""
    return list(dict.fromkeys(values))


def kinds_present(kinds: Iterable[str]) -> list[str]:
    present = set(kinds)
    return [kind for kind in KIND_COLOURS if kind in present]


def line_styles(methods: Sequence[str], coloured: Collection[str] | None = None) -> dict[str, dict]:
    """Colour, line style and marker of every method, as keyword arguments of `plot`.

    A detector has the same style in every figure. Other names, such as ensembles, follow in the order of `methods`:
    figures that are given the same names in the same order agree. Methods that are not `coloured` (None: all) are grey
    and lie behind the others.
    """
    detectors = list(titles().values())
    others = [method for method in methods if method not in detectors]
    first = len(detectors) if len(others) < len(methods) else 0  # where others begin
    styles = {}
    for method in methods:
        place = detectors.index(method) if method in detectors else first + others.index(method)
        grey = coloured is not None and method not in coloured
        styles[method] = {
            "color": GREY if grey else _COLOURS[place % len(_COLOURS)],
            "linestyle": _LINES[(place // 2 + place) % len(_LINES)],
            "marker": _MARKERS[place % len(_MARKERS)],
            "zorder": 1.5 if grey else 2,
        }
    return styles


def axes_of(*shape: int, size: tuple[float, float], layout: str = "constrained", **options) -> tuple:
    """`plt.subplots` of that size in inches, in the study's style, which does not change the caller's own figures."""
    with plt.rc_context(_STYLE):
        return plt.subplots(*shape, figsize=size, dpi=DPI, layout=layout, **options)


def panels(
    count: int, columns: int, cell: tuple[float, float], extra: tuple[float, float] = (0, 0), **options
) -> tuple:
    """`count` axes in rows of up to `columns`, each of the size `cell` in inches; the figure is larger by `extra`.

    Returns the figure and a list of its axes. With nothing to draw the figure says so, and the list is empty.
    """
    if count == 0:
        return message(NOTHING), []
    columns = balanced(count, columns)
    rows = -(-count // columns)
    size = (cell[0] * columns + extra[0], cell[1] * rows + extra[1])
    figure, axes = axes_of(rows, columns, size=size, squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    for axis in axes.flat[:count][-columns:]:  # with nothing below them, even if a row ends early
        axis.tick_params(labelbottom=True)
    return figure, list(axes.flat[:count])


def balanced(count: int, columns: int) -> int:
    """Columns, at most `columns`, such that the rows are about equally long.

    >>> balanced(6, 4)
    3
    """
    return -(-count // max(1, -(-count // columns)))


def few_ticks(axis: Axes, count: int = 5) -> None:
    """Ticks of the x axis, so few and so short that their labels do not touch in a narrow panel."""
    axis.xaxis.set_major_locator(MaxNLocator(nbins=count, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.10g}".replace("-", "\N{MINUS SIGN}"))


def legend_beside(figure: Figure, axes: Sequence[Axes]) -> None:
    """The legend of the first of the axes, right of all panels."""
    _legend(figure, axes, loc="outside right upper")


def legend_above(figure: Figure, axes: Sequence[Axes], columns: int = 2) -> None:
    """The legend of the first of the axes, above all panels: the figure stays narrow."""
    _legend(figure, axes, loc="outside upper right", ncols=columns)


def _legend(figure: Figure, axes: Sequence[Axes], **options) -> None:
    handles, names = axes[0].get_legend_handles_labels() if axes else ([], [])
    different = dict(zip(names, handles, strict=True))
    if different:
        figure.legend(different.values(), different.keys(), frameon=False, fontsize=9, **options)


def message(text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure, axis = axes_of(size=(5, 0.6))
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center")
    return finished(figure)


def drawn_from(*columns: str) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
    """A figure whose first argument is a table with these columns; it says so where the table has no rows.

    Raises ValueError where a column is missing.
    """

    def decorate(draw: Callable[..., Figure]) -> Callable[..., Figure]:
        @wraps(draw)
        def checked(table: pd.DataFrame, *arguments, **options) -> Figure:
            if missing := [column for column in columns if column not in table.columns]:
                names = ", ".join(table.columns)
                raise ValueError(f"the table has no column {', '.join(missing)}; its columns are {names}")
            return draw(table, *arguments, **options) if len(table) else message(NOTHING)

        return checked

    return decorate


def finished(figure: Figure) -> Figure:
    """The figure with every text drawn as it is, and closed for pyplot.

    A `$` in the name of a file is no formula. A notebook shows a closed figure once, where a cell returns it.
    """
    for text in _texts(figure):
        text.set_parse_math(False)
    plt.close(figure)
    return figure


def _texts(artist: Artist) -> Iterator[Text]:
    """All texts, but for tick labels of axes that are switched off, which matplotlib has not made yet."""
    if isinstance(artist, Text):
        yield artist
    if not (isinstance(artist, Axis) and not artist.axes.axison):
        for child in artist.get_children():
            yield from _texts(child)


def encoded(figure: Figure, dpi: int = FILE_DPI) -> tuple[str, bytes]:
    """The ending of the figure's file and its content: JPEG where it shows photographs, else PNG of 64 colours.

    `dpi` is that of figures without photographs.
    """
    content = io.BytesIO()
    if shows_photographs(figure):
        drawn(figure, PHOTOGRAPH_DPI).save(content, "JPEG", quality=PHOTOGRAPH_QUALITY)
        return "jpg", content.getvalue()
    drawn(figure, dpi).quantize(64, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return "png", content.getvalue()


def as_pdf(figure: Figure) -> bytes:
    """The figure as PDF: lines and text where it shows no photographs, else one JPEG, which is much smaller."""
    content, never = io.BytesIO(), time.gmtime(0)  # no time of creation: the same figure is the same bytes
    if shows_photographs(figure):
        options = {"quality": PHOTOGRAPH_QUALITY, "resolution": PHOTOGRAPH_DPI}
        drawn(figure, PHOTOGRAPH_DPI).save(content, "PDF", creationDate=never, modDate=never, **options)
    else:
        figure.savefig(content, format="pdf", bbox_inches="tight", metadata={"CreationDate": None})
    return content.getvalue()


def shows_photographs(figure: Figure) -> bool:
    return any(np.ndim(image.get_array()) == 3 for axis in figure.axes for image in axis.images)


def drawn(figure: Figure, dpi: int) -> Image.Image:
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight", dpi=dpi, pil_kwargs={"compress_level": 1})
    return Image.open(content).convert("RGB")
