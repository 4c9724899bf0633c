"""Make a category of photographs and of what was drawn on them."""

from pathlib import Path

from iadlib.data import build_category


def build(photographs: str | Path, description: str | Path, out: str | Path, seed: int = 0) -> None:
    """Write a category in MVTec LOCO AD layout into the new folder `out`, and print its README.md."""
    report = build_category(photographs, out, description, seed=seed)
    print(report.text)
    print(f"the category is in {out}; the text above is its README.md")
