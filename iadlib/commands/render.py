"""Render a category."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from iadlib import rendering
from iadlib.files import PARTIAL, require_new
from iadlib.params import read_settings

MARK_LENGTH = 12  # hexadecimal digits


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """The keys of a params file; `rendering.render_category` describes them."""

    seed: int = 0
    scale: str = "default"
    width: int | None = None
    counts: dict[str, int] | None = None
    samples: int | None = None
    difficulty: dict[str, tuple[float, float]] | None = None


def render(
    category: str, out: str | Path, seed: int | None = None, scale: str | None = None, file: str | None = None
) -> None:
    """Render a category into the new folder `out`, in the layout of MVTec LOCO AD or, for metal_nut, of MVTec AD.

    `file` names settings as FILE:BLOCKS; `seed` and `scale` override them. The folder gets its name when it is
    complete. An interrupted rendering is resumed if neither the settings nor the code of the renderer have changed.
    """
    out = require_new(out)
    overrides = {name: value for name, value in (("seed", seed), ("scale", scale)) if value is not None}
    settings = asdict(read_settings(RenderSettings, [file] if file else [], overrides))
    code = b"".join(path.read_bytes() for path in sorted(Path(rendering.__file__).parent.glob("*.py")))
    mark = hashlib.sha256(json.dumps([category, settings]).encode() + code).hexdigest()[:MARK_LENGTH]
    unfinished = out.with_name(f"{out.name}-{mark}{PARTIAL}")
    try:
        rendering.render_category(category, unfinished, **settings)
    except ValueError as error:
        raise ValueError(f"{file}: {error}" if file else error) from None
    unfinished.replace(require_new(out))
    for abandoned in out.parent.glob(f"{out.name}-{'[0-9a-f]' * MARK_LENGTH}{PARTIAL}"):
        shutil.rmtree(abandoned)
    print(f"{category}: written to {out}")
