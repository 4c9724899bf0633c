"""The report page: one HTML file made of the executed notebook, with the explorer; it needs neither network nor server.

python -m iadlib.report.page reports/embedded/notebooks/07_report.ipynb --profile embedded
    --out reports/embedded/index.html
"""

import argparse
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from iadlib.explorer import explorer_part
from iadlib.files import whole_file
from iadlib.report.findings import Findings
from iadlib.report.photographs import collections
from iadlib.study import Study

AT_ONCE = 12  # photographs of the explorer before a button asks for more
CONTENTS, EXPLORER = "<!-- contents -->", "<!-- explorer -->"  # in the notebook's text: what is put there
NO_PHOTOGRAPHS = "<p>There are no photographs or scores on the machine that made this page.</p>"


def page(notebook: nbformat.NotebookNode, explorer: str) -> str:
    """The notebook's text and outputs as a page; its code stays in the notebook."""
    config = {"exclude_input": True, "exclude_input_prompt": True, "exclude_output_prompt": True}
    exporter = HTMLExporter(
        template_name="template",
        extra_template_basedirs=[str(Path(__file__).parent)],
        config=Config({"TemplateExporter": config}),
    )
    title = re.search(r"^# (.+)$", notebook.cells[0].source, re.MULTILINE)[1]
    body, _ = exporter.from_notebook_node(notebook, resources={"title": title})
    body = re.sub(r'href="(?=[^"#:]+\.ipynb")(?!\.\./)', 'href="notebooks/', body)  # links are those of a notebook
    body = body.replace('href="../', 'href="').replace(EXPLORER, explorer, 1)
    return body.replace(CONTENTS, contents(body), 1)


def contents(body: str) -> str:
    """Links to the sections."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)(?:<a class="anchor-link".*?</a>)?</h2>', body)
    return "<nav>" + "".join(f'<a href="#{anchor}">{text}</a>' for anchor, text in found) + "</nav>"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m iadlib.report.page", description=page.__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--folder", type=Path, default=Path(), help="with params/, data/, artifacts/ and reports/")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    found = collections(Findings(Study(options.profile, options.folder)))
    explorer = explorer_part("Photographs", found, AT_ONCE) if found else NO_PHOTOGRAPHS
    made = page(nbformat.read(options.notebook, as_version=4), explorer)
    with whole_file(options.out) as unfinished:
        unfinished.write_text(made, encoding="utf-8")
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {sum(len(each.images) for each in found)} images")


if __name__ == "__main__":
    main()
