"""Sentences, tables and figures as parts of the page: HTML that is also the output of a notebook's cell.

Links are relative to the folder `notebooks` beside the page's own folder; `page` makes them relative to the page.
"""

import base64
import html
import io
import re
from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from PIL import Image

from iadlib.figures.style import encoded

CHART_DPI = 150  # pixels an inch of a chart's picture


def prose(sentences: Sequence[str]) -> HTML:
    """One paragraph a sentence."""
    return HTML("\n".join(f"<p>{whole(sentence)}</p>" for sentence in sentences))


def whole(text: str) -> str:
    """Intervals stay on one line.

    >>> whole("0.5 [0.4, 0.6]")
    '0.5 <span class="whole">[0.4, 0.6]</span>'
    """
    return re.sub(r"\[[^\]<]*\]", r'<span class="whole">\g<0></span>', text)


def answers(sentences: Sequence[str]) -> HTML:
    """The sentences as a numbered list."""
    return HTML(
        '<ol class="answers">\n' + "\n".join(f"<li>{whole(sentence)}</li>" for sentence in sentences) + "\n</ol>"
    )


def figure(drawn: Figure | None, alt: str, caption: str, file: str = "") -> HTML | None:
    """A figure with the text for readers who do not see it; `file` is its PDF, as a link. None: nothing."""
    if drawn is None:
        return None
    _, content = encoded(drawn, dpi=CHART_DPI)
    return picture(content, "chart", CHART_DPI, alt, caption, file)


def picture(content: bytes, what: str, dpi: float, alt: str, caption: str, file: str = "") -> HTML:
    """The bytes of a picture as a figure; `what` it is, "chart" or "photographs", decides how dark pages show it.

    It is shown so large that its text can be read: on a narrow screen it scrolls by itself.
    """
    with Image.open(io.BytesIO(content)) as opened:
        inches, kind = opened.width / dpi, opened.format.lower()
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    link = f' <a href="{html.escape(file)}">PDF</a>' if file else ""
    image = f'<img src="{source}" alt="{html.escape(alt)}" style="--inches: {inches:.2f}">'
    caption = f"<figcaption>{html.escape(caption)}{link}</figcaption>"
    return HTML(f'<figure class="{what}"><div class="scroll">{image}</div>{caption}</figure>')


def table(frame: pd.DataFrame, caption: str, file: str = "") -> HTML:
    """A table whose rows become blocks on a narrow screen; `file` is its path without ending, as links to CSV and TeX.

    The first column names the row.
    """
    names = [html.escape(str(name)) for name in frame.columns]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for values in frame.itertuples(index=False):
        first, *others = (html.escape(_shown(value)) for value in values)
        cells = "".join(
            f'<td data-label="{name}">{whole(value)}</td>' for name, value in zip(names[1:], others, strict=True)
        )
        rows.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    link = f' <a href="{file}.csv">CSV</a> <a href="{file}.tex">LaTeX</a>' if file else ""
    return HTML(
        f"<table><caption>{html.escape(caption)}{link}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def links(**targets: str) -> HTML:
    """Where to read more: words with underscores for spaces, and paths."""
    found = ", ".join(f'<a href="{html.escape(path)}">{name.replace("_", " ")}</a>' for name, path in targets.items())
    return HTML(f'<p class="more-about">More: {found}</p>')


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:z.3f}".replace("-", "−")
    return "" if value is None or value is pd.NA else str(value)


def rules(by_category: dict[str, list[str]]) -> HTML:
    """The rules of every category, closed."""
    parts = [
        f"<details><summary>{html.escape(name.replace('_', ' '))}: {len(lines)} rules</summary>"
        f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul></details>"
        for name, lines in by_category.items()
    ]
    return HTML(f'<div class="cards">{"".join(parts)}</div>')
