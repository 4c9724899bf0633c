"""The data set card: what the rendered categories are, in words, numbers and pictures."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from iadlib import figures
from iadlib.data import Category, load_category, read_image
from iadlib.rendering.writing import CATEGORIES, ON_HARDER_GROUND, rendered_category, write

INTRODUCTION = """# Data set card: rendered categories with logical constraints

Six categories of parts, rendered from solid geometry with [Mitsuba 3](https://www.mitsuba-renderer.org), in the layout
of MVTec LOCO AD (one of them, without logical anomalies, in that of MVTec AD). Why: MVTec LOCO AD, the data set that
asked the question, may not be used commercially and must be asked for; nothing like it comes with a free licence. Here
every normal image obeys rules that stand in code, every logical anomaly breaks exactly one, and of every anomaly the
place, the size and the contrast are known. No photograph and no file of another data set is in it.

![One normal image, one logical and one structural anomaly of every category](gallery.png)

*Normal, logical, structural for each category; ground truth outlined.*
"""
HARDER_GROUND = """## The flat connector on harder ground

The black cloth of `flat_connector` is nearly even. So that an answer does not hang on it, the same part is recorded on
two more grounds. Rendered with the same seed, counts, width and samples, image for image the part, its pose, its
defect, its metal, the light, the noise and the ground truth are those of `flat_connector`; only what lies under the
part is not, and so neither is the contrast of a defect where ground shows. They are no further categories: rules,
defects and sizes are the same.

![The flat connector on harder ground: normal, logical, structural](harder_ground.png)

*Normal, logical, structural on each ground; ground truth outlined.*
"""
GROUNDS = {
    "flat_connector_folds": "the black cloth badly laid and a little glossier: deep folds with light and dark sides up "
    "to the plate, hundreds of fibres of lint, fluff and dust",
    "flat_connector_mat": "a grey, pebbled cutting mat with a printed grid, cuts, rubs and dust, about as bright as "
    "the darkest parts of the metal",
}
GAPS = """## What it is not

- It is not a photograph. Light comes from one softbox and an even room; where things are many, light does not bounce
  from one to the next. There is no lens distortion, no depth of field, no compression, no colour filter array; noise,
  vignetting and a slight, even defocus are modelled.
- Materials are simple: one gloss a plastic, noise for wear. Normal variety is drawn from a few dozen numbers an image;
  a real line has causes of variation that nobody wrote down.
- An anomalous image has one anomaly. Real rejects often have several.
- It is small at the default scale. `python -m iadlib render CATEGORY --out DIR --scale full` makes as many and as large
  images as the data set that a category follows.
- Path tracing leaves noise of its own. Before defocus, the standard deviation of the median pixel between two
  renderings is 0.013 of full scale on the pushpins and 0.004 on the juice bottle; the sensor's is 0.003 on both.
- The blur is that of a lens which resolves its sensor: about half a pixel, at any width.
- The published gap between kinds does not show at the default scale. On MVTec LOCO AD, PatchCore reaches an image AUROC
  of 0.74 on logical and 0.89 on structural anomalies; here the two are alike in the mean, for a reason of its own in
  each category. Pushpins: resolution. A bent needle covers a few pixels, a missing pushpin hundreds. On a development
  draw (an earlier revision, another seed, 30 images of each kind, 60 images to train with, three seeds of PatchCore),
  images of 544 x 320 reduced to 288 x 160 gave 0.735 ± 0.008 logical and 0.623 ± 0.044 structural; as they were, 0.733
  ± 0.019 and 0.817 ± 0.012. Fastener kit: any arrangement is normal, and every detector is near chance on both kinds.
  Juice bottle and splicing connectors: most logical anomalies are large and local, another fruit, no label, a second
  cable, and whoever remembers patches sees what was never there. To study fine defects, render wider images, up to
  `--scale full`, and let the detectors see them. What does show is the drop from a category with structural anomalies
  alone, the metal nut, to those with both kinds.
- Where a small part of a large marked area suffices, as for a nut that may lie anywhere and is missing, a map of noise
  earns much AU-sPRO: read it beside the column of chance.
- A defect has 3 to 10 test images at the default scale: numbers by defect are anecdotes, but for the connector, of
  which the study renders hundreds more.
- Numbers obtained on it compare methods with one another. They do not stand for results on MVTec AD or MVTec LOCO AD.

How large and how clear defects are stands in each category's file (the class `Difficulty`). It was set by what a person
sees at the default size, from what is easily overlooked to the plain, and not by a detector's scores. A params file
with `difficulty` sets other ranges.

## Use

The images are under CC BY 4.0 (the code is under MIT): use them for anything, and name the source as `CITATION.cff` has
it. The layouts and the metric follow Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised
Anomaly Detection and Localization", IJCV 2022, and Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021:
cite them too.
"""


def write_card(folder: Path, out: Path) -> None:
    """The card of all rendered categories in a folder as `README.md`, and its pictures, into the folder `out`."""
    opened = [load_category(folder / name) for name in CATEGORIES if (folder / name).is_dir()]
    if not opened:
        raise ValueError(f"{folder}: no folder here is named as a rendered category, {', '.join(CATEGORIES)}")
    sections = [_section(category) for category in opened]
    _write_gallery(opened, out / "gallery.png")
    if paired := [load_category(folder / name) for name in ON_HARDER_GROUND if (folder / name).is_dir()]:
        sections += [HARDER_GROUND, "".join(_entry(category) for category in paired)]
        _write_gallery(paired, out / "harder_ground.png")
    write(out / "README.md", "\n".join([INTRODUCTION, *sections, GAPS]).encode())


def _section(category: Category) -> str:
    stated = rendered_category(category.name)
    lines = [f"## {category.name}\n", _sizes(category)]
    if stated.rules:
        lines += ["\nRules:\n", *(f"- {rule.says} (`{name}`)" for name, rule in stated.rules.items())]
    lines += ["\n| defect | what it is | breaks | enough to have found it |", "|---|---|---|---|"]
    for name, defect in stated.defects.items():
        share = "all of the region" if defect.saturation_share == 1 else f"{defect.saturation_share:.0%} of the region"
        enough = f"{defect.saturation_mm2:.0f} mm²" if defect.saturation_mm2 else share
        lines.append(f"| {name} | {defect.says} | {defect.breaks or ''} | {enough} |")
    return "\n".join(lines) + "\n"


def _entry(category: Category) -> str:
    return f"- `{category.name}`: {GROUNDS[category.name]}. {_sizes(category)}\n"


def _sizes(category: Category) -> str:
    height, width = read_image(category.samples["image"].iloc[0]).shape[:2]
    camera = rendered_category(category.name).camera(width)
    numbers = category.samples["split"].value_counts()
    test = category.of("test")["label"].value_counts()
    return (
        f"{width} x {height} pixels, {camera.pixels_per_mm:.1f} a millimetre; {numbers['train']} images to train with, "
        f"{numbers['validation']} to validate, {test.get('good', 0)} good, {test.get('logical', 0)} with a logical and "
        f"{test.get('structural', 0)} with a structural anomaly to test."
    )


def _write_gallery(opened: Sequence[Category], file: Path) -> None:
    picture = BytesIO()
    _gallery(opened).savefig(picture, format="png", dpi=110)
    write(file, picture.getvalue())


def _gallery(opened: Sequence[Category]) -> Figure:
    """Two categories a row, of each a normal image and one of the first logical and structural defect, or of two."""
    rows, titles, regions = [], [], []
    for place, category in enumerate(opened):
        test, stated = category.of("test"), rendered_category(category.name)
        names = [[each.defect_name for each in category.regions(i)][:1] for i in range(len(test))]
        kinds = ("logical_anomalies", "structural_anomalies")
        shown = [defects[0] for kind in kinds if (defects := stated.defects_of(kind))]
        if len(shown) < len(kinds):
            shown = stated.defects_of("structural_anomalies")[1:3]
        chosen = [names.index([]), *(names.index([defect]) for defect in shown)]
        if place % 2 == 0:
            rows, titles, regions = [*rows, []], [*titles, []], [*regions, []]
        rows[-1] += [read_image(test["image"].iloc[i]) for i in chosen]
        regions[-1] += [category.regions(i) for i in chosen]
        titles[-1] += [name.replace("_", " ") for name in (category.name, *shown)]
    return figures.gallery(rows, titles, regions)
