"""Look through photographs, their scores and maps in a browser: HTML that needs neither network nor server."""

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from string import Template

from PIL import Image

from iadlib.data.images import read_image

LONGER_SIDE = 640  # pixels of a picture
QUALITY = 70  # of its WebP
AT_ONCE = 60  # photographs that are shown before a button asks for more
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  :root { color-scheme: light dark; }
  body { margin: 0 auto; max-width: 1280px; padding: 16px; background: light-dark(#ffffff, #15181c); }
</style>
</head>
<body>
$explorer
</body>
</html>
""")


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
    """Photographs of one category, scored by the same detectors; thresholds are by detector.

    `chosen` are the detectors that are shown at first; none: the first of `methods`.
    """

    name: str
    methods: list[str]
    thresholds: dict[str, float]
    images: list[Photograph]
    chosen: list[str] = field(default_factory=list)


def explorer(title: str, collections: Sequence[Collection]) -> str:
    """The explorer as a page of its own."""
    return PAGE.substitute(title=html.escape(title), explorer=explorer_part(title, collections))


def explorer_part(title: str, collections: Sequence[Collection], at_once: int = AT_ONCE) -> str:
    """HTML to put into a page: a grid of photographs, sorted by score, with thresholds that count alarms and misses.

    A page holds one explorer. `at_once` photographs are shown before a button asks for more.
    """
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    data = json.dumps([asdict(each) for each in collections], allow_nan=False, separators=(",", ":"))
    # Inside <script>, "</script>" and "<!--" would end or change the element; names of files may contain anything.
    return template.safe_substitute(title=html.escape(title), at_once=at_once, data=data.replace("<", "\\u003c"))


def picture(path: Path, longer_side: int = LONGER_SIDE, bits: int | None = None) -> str:
    """A photograph or picture, made smaller, as a data URI; `bits` is the depth of a photograph of 16 bit."""
    return data_uri(Image.fromarray(read_image(path, bits)), longer_side)


def data_uri(image: Image.Image, longer_side: int = LONGER_SIDE, quality: int = QUALITY) -> str:
    """An image as WebP in a data URI, made smaller if its longer side has more pixels."""
    if max(image.size) > longer_side:
        image = image.copy()
        image.thumbnail((longer_side, longer_side))
    content = io.BytesIO()
    image.convert("RGB").save(content, "WEBP", quality=quality, method=6)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
