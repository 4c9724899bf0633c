import itertools

from matplotlib.colors import to_rgb

from iadlib.figures.style import (
    GREY,
    HIGHLIGHTS,
    KIND_COLOURS,
    KIND_MARKERS,
    balanced,
    few_ticks,
    finished,
    line_styles,
    panels,
)
from iadlib.figures.text import titles

METHODS = [f"method {i}" for i in range(12)]


def test_a_method_has_the_same_style_whoever_else_is_coloured():
    assert line_styles(METHODS, METHODS[2:4])[METHODS[3]] == line_styles(METHODS)[METHODS[3]]


def test_twelve_methods_have_twelve_colours():
    assert len({style["color"] for style in line_styles(METHODS).values()}) == 12


def test_methods_next_to_each_other_differ_without_colour():
    looks = [(style["linestyle"], style["marker"]) for style in line_styles(METHODS).values()]
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.pairwise(looks))


def test_a_detector_has_one_style_whatever_else_a_figure_shows():
    names = list(titles().values())
    alone = line_styles(names)
    assert line_styles([*names[::-1], "an ensemble"])[names[3]] == alone[names[3]]
    assert line_styles([names[7], names[3]]) == {names[7]: alone[names[7]], names[3]: alone[names[3]]}


def test_methods_that_are_not_coloured_are_grey_and_behind():
    styles = line_styles(METHODS, METHODS[:HIGHLIGHTS])
    assert {styles[name]["color"] for name in METHODS[HIGHLIGHTS:]} == {GREY}
    assert styles[METHODS[-1]]["zorder"] < styles[METHODS[0]]["zorder"]


def test_kinds_differ_in_marker_and_lightness():
    lightness = sorted(sum(to_rgb(colour)) for colour in KIND_COLOURS.values())
    assert len(set(KIND_MARKERS.values())) == len(KIND_COLOURS)
    assert min(b - a for a, b in itertools.pairwise(lightness)) > 0.05


def test_rows_of_panels_are_about_equally_long():
    assert [balanced(count, 4) for count in (1, 4, 5, 6, 7, 9, 12)] == [1, 4, 3, 3, 4, 3, 4]


def test_tick_labels_of_narrow_panels_do_not_touch():
    figure, axes = panels(2, 2, (2.4, 1.5), sharex=True)
    for axis in axes:
        axis.plot([-0.1539, 0.1127], [0, 1])
        few_ticks(axis)
    finished(figure).canvas.draw()
    boxes = [text.get_window_extent() for axis in axes for text in axis.get_xticklabels() if text.get_text()]
    assert len(boxes) > 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_lowest_panel_of_every_column_has_tick_labels():
    figure, axes = panels(5, 3, (2, 1), sharex=True)
    finished(figure).canvas.draw()
    shown = [axis.xaxis.get_tick_params()["labelbottom"] for axis in axes]
    assert shown == [False, False, True, True, True]
