"""The report page: tables over all studies, sentences computed from them, model cards, and images to look through.

`findings` computes the tables, `sentences` says what is in them, `layout` arranges them for readers, `cards` describes
every detector and ensemble, `photographs` chooses the images of the explorer, `parts` turns sentences, tables and
figures into HTML, and `page` makes the page of the executed notebook.
"""

from iadlib.report.findings import Findings, best_by_category, best_by_defect, name_of
