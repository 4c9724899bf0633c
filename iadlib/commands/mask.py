"""Black out the background of a category's photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iadlib.data import load_category, mask_category
from iadlib.params import read_settings


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """What a params file may say about masking."""

    radii: tuple[float, ...]  # pixels; 0 keeps the object alone

    def __post_init__(self):
        if not self.radii or len(set(self.radii)) < len(self.radii) or not all(radius >= 0 for radius in self.radii):
            raise ValueError(f"radii {list(self.radii)}: one or more different numbers of pixels, 0 or more")


def mask(
    folder: str | Path, radii: Sequence[float], out: str | Path, *, with_unmasked: bool = False, bits: int | None = None
) -> None:
    """Copy a category and black out, in every photograph, what is farther than a radius from the object.

    With one radius, `out` becomes the copy; with several, or `with_unmasked`, a folder of copies `none` and `radius_N`.
    """
    category = load_category(folder, bits=bits)
    without = mask_category(category, out, radii, with_unmasked)
    listed = ", ".join(f"{radius:g}" for radius in radii)
    print(f"{category.name}: {len(category.samples)} photographs, black beyond {listed} pixels from the object")
    if without:
        print(f"no object found in {len(without)} of them, of which nothing is blacked out, such as {without[0]}")
    print(f"written to {out}")


def run(folder: Path, radius: Sequence[float] | None, out: Path, file: Sequence[str], bits: int | None) -> None:
    """The command line: the radii of --radius or of params files; the latter make an unmasked copy too."""
    if radius is None and not file:
        raise ValueError("how much around the object stays? Name a --radius, or settings with --file")
    settings = read_settings(MaskSettings, file, {} if radius is None else {"radii": radius})
    mask(folder, settings.radii, out, with_unmasked=bool(file), bits=bits)
