"""A page to look through photographs, their scores and maps: one HTML file that needs neither network nor server."""

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from PIL import Image

from iadlib.data.images import read_image

LONGER_SIDE = 640  # pixels of a picture
QUALITY = 70  # of its JPEG


@dataclass(frozen=True)
class Photograph:
    """`pictures` are data URIs by detector, or by another name for pictures that are always shown.

    `scores` are by detector. `label` and `defect` are None where nothing is known of the part.
    """

    name: str
    pictures: dict[str, str]
    scores: dict[str, float]
    label: str | None = None
    defect: str | None = None


@dataclass(frozen=True)
class Collection:
    """Photographs of one category, scored by the same detectors; thresholds are by detector."""

    name: str
    methods: list[str]
    thresholds: dict[str, float]
    images: list[Photograph]


def explorer(title: str, collections: Sequence[Collection]) -> str:
    """The page as HTML: a grid of photographs, sorted by score, with a threshold that counts alarms and misses."""
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    data = json.dumps([asdict(each) for each in collections], allow_nan=False)
    # Inside <script>, "</script>" and "<!--" would end or change the element; names of files may contain anything.
    return template.safe_substitute(title=html.escape(title), data=data.replace("<", "\\u003c"))


def picture(path: Path, longer_side: int = LONGER_SIDE) -> str:
    """A photograph or picture, made smaller, as a data URI."""
    found = Image.fromarray(read_image(path))
    found.thumbnail((longer_side, longer_side))
    content = io.BytesIO()
    found.convert("RGB").save(content, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
