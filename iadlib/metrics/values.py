"""Two layouts of the values of test images: a row for each image and entry, or a row for each image."""

import pandas as pd

IMAGE = ["category", "name", "label", "defect", "regions"]  # columns that describe an image
RUN = ["group", "entry", "seed"]  # columns that describe what was judged
MEASURES = ("score", "au_spro")
LONG = ["category", *RUN, *IMAGE[1:-1], *MEASURES, IMAGE[-1]]  # columns with a row for each image and entry
SEPARATOR = "; "  # between the parts of the names of wide columns


def wide(values: pd.DataFrame) -> pd.DataFrame:
    """Values with one row for each test image: a much smaller file, since what all entries share is written once.

    `values` has the rows of all images of one group, entry and seed after the other. The columns are those of the image
    (see `IMAGE`) and "MEASURE; GROUP; ENTRY; SEED" for each of `MEASURES`.
    """
    if values.empty:
        return values
    parts = {key: part.reset_index(drop=True) for key, part in values.groupby(RUN, sort=False)}
    images = next(iter(parts.values()))[IMAGE]
    if not all(part[IMAGE].equals(images) for part in parts.values()):
        raise ValueError("entries are judged on different images")
    columns = {SEPARATOR.join(map(str, (name, *key))): part[name] for key, part in parts.items() for name in MEASURES}
    return pd.concat([images, pd.DataFrame(columns)], axis="columns")


def long(table: pd.DataFrame) -> pd.DataFrame:
    """The inverse of `wide`; a table that is not wide is returned as it is."""
    runs = [name.split(SEPARATOR)[1:] for name in table.columns if name.startswith(f"{MEASURES[0]}{SEPARATOR}")]
    parts = []
    for group, *names, seed in runs:
        entry = SEPARATOR.join(names)
        found = {name: table[SEPARATOR.join((name, group, entry, seed))] for name in MEASURES}
        parts.append(table[IMAGE].assign(group=group, entry=entry, seed=int(seed), **found))
    if not parts:
        return table
    return pd.concat(parts, ignore_index=True)[LONG]
