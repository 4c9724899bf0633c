"""Check the photographs of a category, and record for the pipeline where they are."""

from pathlib import Path

from iadlib.data import load_category, write_reference
from iadlib.data.reference import require_replaceable


def refer(folder: str | Path, out: str | Path, bits: int | None = None) -> None:
    """Read every image and mask of a category, then write a `source.json` that names its folder into the folder `out`.

    `load_category` follows such a reference. `bits` is the depth of the camera, kept with the reference.
    """
    out = Path(out)
    require_replaceable(out)  # before all images are read
    category = load_category(folder, bits=bits)
    category.check()
    print(category.summary())
    write_reference(category, out)
    print(f"{category.name}: {len(category.samples)} images in {category.layout} layout, all readable")
