"""What was found, in sentences whose names and numbers come from the tables.

Every sentence is chosen by what the numbers are, so that it stays true when results change. A difference is *beyond its
interval* if the 95 % interval does not include 0. Where a study has no results, its sentences are left out.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from iadlib.calibration import BOUNDED, CALIBRATORS, NONE
from iadlib.figures.text import spaced, titled
from iadlib.metrics.entries import FEATURE, MEAN, SOFT
from iadlib.report.findings import LEVEL, Findings, name_of
from iadlib.study import ensemble
from iadlib.study.ensemble import BEST, GROUPS
from iadlib.study.masking import ground

# The beginnings of names in ensemble_tables/differences.csv.
ALONE, OUTPUTS, BACKBONES = (f"{GROUPS[group]}: " for group in ("member", "output", "backbones"))
OWN_OUTPUTS = "of its members' outputs"
# Columns of costs. The fit of an ensemble includes the fit of its members.
FIT, MEMBERS, PREDICT = "seconds to fit", "seconds to fit the members", "milliseconds an image"


def number(value: float) -> str:
    """Three digits."""
    return f"{value:z.3f}".replace("-", "−")


def end(value: float) -> str:
    """Three digits of the end of an interval, with the sign of what is rounded to 0: it says whether 0 is inside."""
    return f"{value:.3f}".replace("-", "−")


def within(row: Any) -> str:
    """The value of a row with its interval."""
    return f"{number(row.value)} [{end(row.low)}, {end(row.high)}]"


def change(row: Any) -> str:
    """The difference of a row with its sign and interval.

    >>> change(pd.Series({"difference": 0.02, "low": -0.01, "high": 0.05}))
    '+0.020 [−0.010, 0.050]'
    >>> change(pd.Series({"difference": -0.02, "low": -0.04, "high": -0.0001}))
    '−0.020 [−0.040, −0.000]'
    """
    sign = "+" if row.difference >= 0 else ""
    return f"{sign}{number(row.difference)} [{end(row.low)}, {end(row.high)}]"


def verdict(row: Any, otherwise: str) -> str:
    """Better or worse, if the difference of a row is beyond its interval; higher values are better."""
    if row.low > 0 or row.high < 0:
        return "better" if row.difference > 0 else "worse"
    return otherwise


def beyond(rows: pd.DataFrame, names: Sequence[str], better: str, worse: str) -> tuple[list[str], int]:
    """What lies above and below 0 beyond the interval, each after its verb, and how many of `rows` do neither.

    >>> rows = pd.DataFrame({"low": [0.01, -0.01, 0.02], "high": [0.03, 0.01, 0.04]})
    >>> beyond(rows, ["a", "b", "c"], "helps", "harms")
    (['helps a and c'], 1)
    """
    above, below = (rows["low"] > 0).to_numpy(), (rows["high"] < 0).to_numpy()
    parts = []
    for verb, chosen in ((better, above), (worse, below)):
        found = [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
        parts += [f"{verb} {listed(found)}"] if found else []
    return parts, int((~above & ~below).sum())


def listed(names: Sequence[str]) -> str:
    """The names as part of a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = names or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> counted(1, "category", "categories"), counted(3, "detector")
    ('1 category', '3 detectors')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def categories(count: int) -> str:
    return counted(count, "category", "categories")


def about(findings: Findings) -> str:
    """What the page rests on."""
    seeds = findings.values.groupby("entry")["seed"].nunique()
    fewer = [name_of(entry) for entry in findings.groups if seeds[entry] < seeds.max()]
    detectors, ensembles = len(findings.detectors), len(findings.groups) - len(findings.detectors)
    return (
        f"This page is of the profile <em>{findings.study.profile}</em>: {counted(detectors, 'detector')} and "
        f"{counted(ensembles, 'ensemble')} on {categories(len(findings.categories))}, "
        f"{counted(int(seeds.max()), 'seed')}{f' ({listed(fewer)}: fewer)' if fewer else ''}."
    )


def answer(findings: Findings) -> list[str]:
    """The answer to the question of the study, in five sentences at most."""
    parts, features = [loss(findings), on_logical(findings)], counted(len(ensemble.members()), "detector")
    if found := comparisons(findings):
        (best, what), *others = found.items()
        parts.append(
            f"<strong>Compared with {best}, the ensemble of the features of {features} {what} "
            f"(means over {over(findings)})."
        )
        outputs = [f"<strong>compared with {other}, it {what}" for other, what in others if OWN_OUTPUTS in other]
        parts.append("; ".join(outputs).replace("compared", "Compared", 1) + "." if outputs else "")
    return [sentence for sentence in [*parts, *calibration(findings)[:1]] if sentence]


def loss(findings: Findings) -> str:
    """How many detectors find logical anomalies less well, and what the best on structural ones loses."""
    means = _means(findings)
    if len(means.columns) < 2:
        [kind] = means.columns
        best = means[kind].idxmax()
        return f"{best} is the best detector on {kind} anomalies: image AUROC {number(means.loc[best, kind])}."
    lower = int((means["logical"] < means["structural"]).sum())
    best = means["structural"].idxmax()
    structural, logical = means.loc[best, ["structural", "logical"]]
    return (
        f"<strong>{lower} of {counted(len(means), 'detector')} find logical anomalies less well than structural ones:"
        f"</strong> {best}, the best on structural anomalies, has an image AUROC of {number(structural)} on them and "
        f"of {number(logical)} on logical ones (means over {categories(len(findings.both_kinds))})."
    )


def on_logical(findings: Findings) -> str:
    """The best detector on logical anomalies, and on which categories one is ahead of the reference."""
    means = _means(findings)
    if len(means.columns) < 2:
        return ""
    best, reference = means["logical"].idxmax(), name_of(findings.reference)
    row = _row(findings.main, entry=best, metric="image AUROC", kind="logical")
    first = f"<strong>On logical anomalies, {best} is the best detector,</strong> {within(row)}"
    names = {name_of(entry) for entry in findings.detectors}
    leads = findings.leads[(findings.leads["kind"] == "logical") & (findings.leads["category"] != "all")]
    ahead = leads[leads["entry"].isin(names) & (leads["low"] > 0)]
    if ahead.empty:
        return f"{first}, and on no category is a detector ahead of {reference} beyond the interval."
    most = ahead.loc[ahead["difference"].idxmax()]
    place = {"category": most.category, "kind": "logical"}
    own, other = (_row(findings.by_category, entry=entry, **place) for entry in (most.entry, reference))
    elsewhere = [spaced(name) for name in ahead["category"].unique() if name != most.category]
    on = f"on the {listed(elsewhere)}, and most on the" if elsewhere else "only on the"
    return (
        f"{first}; by category, detectors are ahead of {reference} beyond the interval {on} {spaced(most.category)}, "
        f"where {most.entry} has {within(own)} and {reference} {within(other)}."
    )


def best_on_logical(findings: Findings) -> list[str]:
    """The best detector on logical anomalies, compared with the best in the mean over both kinds."""
    means = _means(findings)
    if len(means.columns) < 2 or means["logical"].idxmax() == name_of(findings.reference):
        return []
    best, same = means["logical"].idxmax(), "not beyond the interval"
    lead, lag = (_row(findings.leads, entry=best, category="all", kind=kind) for kind in ("logical", "structural"))
    return [
        f"{best} is the best detector on logical anomalies. Compared with {name_of(findings.reference)}, the best in "
        f"the mean over both kinds, its image AUROC differs by {change(lead)} on logical anomalies "
        f"({verdict(lead, same)}) and by {change(lag)} on structural ones ({verdict(lag, same)})."
    ]


def comparisons(findings: Findings) -> dict[str, str]:
    """What the feature ensemble does better and worse, by what it is compared with; "</strong>" ends the words.

    The best detector alone, the mean and the soft maximum of its members' outputs, and one detector with several
    backbones.
    """
    table = findings.study.table("ensemble_tables", "differences.csv", empty=["ensemble", "metric", "against"])
    rows = table[table["ensemble"] == FEATURE]
    names, is_best = rows["against"].str.removesuffix(BEST), rows["against"].str.endswith(BEST)
    means = [rows[names == OUTPUTS + entry] for entry in (MEAN, SOFT)]
    said = {}
    for chosen in (rows[is_best & names.str.startswith(ALONE)], *means, rows[names.str.startswith(BACKBONES)]):
        of = {row.metric: row for row in chosen.itertuples()}
        if {"image AUROC", "AU-sPRO"} <= set(of):
            images, maps, same = of["image AUROC"], of["AU-sPRO"], "about as well"
            other, another = (_against(row) for row in (images, maps))
            also = "" if other == another else f" (there, {another})"
            said[other] = (
                f"detects {verdict(images, same)} and localises {verdict(maps, same)}:</strong> "
                f"image AUROC {change(images)}, AU-sPRO {change(maps)}{also}"
            )
    return said


def _against(row: Any) -> str:
    name = row.against.removesuffix(BEST).removeprefix(ALONE).removeprefix(BACKBONES)
    return f"the {name.removeprefix(OUTPUTS)} {OWN_OUTPUTS}" if name.startswith(OUTPUTS) else name


def over(findings: Findings) -> str:
    """The categories that differences of the feature ensemble are means over."""
    return categories(findings.values.loc[findings.values["entry"] == FEATURE, "category"].nunique())


def ensembles(findings: Findings) -> list[str]:
    """Against detectors and outputs, where the feature ensemble gains and loses, and what a member contributes."""
    found = comparisons(findings)
    if not found:
        return []
    names = listed([titled(name) for name in ensemble.members()])
    said = [
        f"The feature ensemble joins the features of {names}. Differences are means over {over(findings)} and the "
        f"kinds of anomaly that each has; the table below the answer is over the {len(findings.both_kinds)} with both."
    ]
    said += [f"<strong>Compared with {other}, it {what}." for other, what in found.items()] + gains(findings)
    designs = findings.study.table("ensemble_tables", "designs.csv", empty=["metric", "what"])
    designs = designs[(designs["metric"] == "image AUROC") & designs["what"].str.startswith("without ")].dropna()
    for row in designs.itertuples():
        said.append(f"Made {row.what}, it detects {verdict(row, 'about as well')}: {change(row)} of image AUROC.")
    return said


def gains(findings: Findings) -> list[str]:
    """Where the feature ensemble gains image AUROC against the best detector alone, and where it loses."""
    table = findings.study.table("ensemble_tables", "by_category.csv", empty=["metric", "against", "category"])
    rows = table[(table["metric"] == "image AUROC") & table["against"].str.startswith(ALONE)].dropna()
    if rows.empty:
        return []
    names = [f"{row.kind} anomalies of the {spaced(row.category)}, {change(row)}" for row in rows.itertuples()]
    parts, rest = beyond(rows, names, "it gains on", "it loses on")
    parts.append(f"in {rest} of {len(rows)} pairs of category and kind the difference is not beyond the interval")
    return [f"Against {rows['against'].iloc[0].removeprefix(ALONE)} in image AUROC, {'; '.join(parts)}."]


def data(samples: pd.DataFrame) -> list[str]:
    """`samples` has a row for each category: train, validation, good, logical, structural."""
    if samples.empty:
        return ["There are no images on this machine."]
    both = int(((samples["logical"] > 0) & (samples["structural"] > 0)).sum())
    train, validation = (listed([str(n) for n in sorted(set(samples[name]))]) for name in ("train", "validation"))
    good, logical, structural = (int(samples[name].sum()) for name in ("good", "logical", "structural"))
    return [
        f"{categories(len(samples))}, {both} with both kinds of anomaly. Of {good + logical + structural} test images, "
        f"{logical} have a logical and {structural} a structural anomaly. Detectors are fitted to {train} normal "
        f"images of a category; thresholds come from {validation} further normal ones."
    ]


def benchmark(best: pd.DataFrame) -> list[str]:
    """`best` as `best_by_category` gives it."""
    counts = best["entry"].value_counts()
    first = [name for name, count in counts.items() if count == counts.iloc[0]]
    alone, pairs = int((best["as good"] == 0).sum()), counted(len(best), "pair")
    return [
        f"Of {pairs} of a category and a kind of anomaly, {listed(first)} {'is' if len(first) == 1 else 'are each'} "
        f"the best detector in {int(counts.iloc[0])}. In {alone} of the {pairs}, no other detector's value lies within "
        "the best one's interval."
    ]


def ranks(findings: Findings) -> list[str]:
    """What the average ranks can support."""
    if findings.ranks.empty:
        return ["Average ranks need at least two categories and three detectors."]
    (p_values, about), best = findings.rank_tests, findings.ranks.iloc[0]
    row, others = about.iloc[0], p_values[best["entry"]].drop(best["entry"])
    apart = [entry for entry in findings.ranks["entry"] if entry in others and others[entry] < LEVEL]
    return [
        f"{best['entry']} has the lowest average rank of {int(row['entries'])} detectors and ensembles, "
        f"{best['rank']:.2f}. The test tells it apart from {listed(apart)}.",
        f"<strong>{categories(int(row['categories']))} support little:</strong> two average ranks must differ by more "
        f"than {row['critical difference']:.2f} (Nemenyi's test at the level {LEVEL}), which "
        f"{int(row['pairs told apart'])} of {int(row['pairs'])} pairs do. Bars in the diagram join what the test "
        "cannot tell apart. The ranks count categories, not images: on the images of one category, read the intervals.",
    ]


def logical(defects: pd.DataFrame) -> list[str]:
    """`defects` as `best_by_defect` gives them, of logical anomalies."""
    if defects.empty:
        return []
    said, reference = [], defects["reference"].iloc[0]
    missing = defects[defects["defect"].str.startswith("missing")]
    if len(missing):
        parts = [
            f"{entry} in {len(places)} ({listed([spaced(name) for name in dict.fromkeys(places)])})"
            for entry, places in missing.groupby("entry", sort=False)["category"]
        ]
        low = missing.loc[missing["value"].idxmin()]
        said.append(
            f"<strong>In {counted(len(missing), 'defect')} a part is missing. The best detector is "
            f"{listed(parts)}.</strong> The best value is lowest for the {spaced(low.defect)} "
            f"({spaced(low.category)}), {within(low)}. A defect has few images: read the interval."
        )
    apart, total = defects[defects["low"] > defects["reference high"]], defects["category"].value_counts()
    counts = apart["category"].value_counts(sort=False)
    words = [f"{count} of {total[name]} on the {spaced(name)}" for name, count in counts.items()]
    hard = defects.loc[defects["value"].idxmin()]
    return [
        *said,
        f"Of {counted(len(defects), 'logical defect')}, the interval of the best detector lies above that of "
        f"{reference} in {len(apart)}{f': {listed(words)}' if words else ''}.",
        f"The hardest is {spaced(hard.defect)} ({spaced(hard.category)}): the best detector, {hard.entry}, has "
        f"{within(hard)}.",
    ]


def masking(table: pd.DataFrame) -> list[str]:
    """`table` is masking_tables/by_method.csv at radius 0, of image AUROC."""
    if table.empty:
        return ["There are no results with a masked background."]
    said = []
    for kind, part in table.groupby("kind", sort=False):
        names = [f"{row.what} ({change(row)})" for row in part.itertuples()]
        words, others = beyond(part, names, "helps", "harms")
        words.append(f"has no effect beyond the interval on {others} of {counted(len(part), 'detector')}")
        said.append(f"Mean over the grounds, on {kind} anomalies, masking at radius 0 {listed(words)}.")
    return said


def masking_by_ground(table: pd.DataFrame) -> list[str]:
    """`table` is masking_tables/by_ground.csv: one sentence for each ground, on image AUROC."""
    said = []
    for name, part in table[table["metric"] == "image AUROC"].groupby("category", sort=False):
        names = [f"{row.kind} anomalies at radius {row.radius} ({change(row)})" for row in part.itertuples()]
        words, others = beyond(part, names, "helps on", "harms on")
        if others:
            words.append(f"has no effect beyond the interval in {others} of {counted(len(part), 'comparison')}")
        said.append(f"<strong>On the {ground(name)}, mean over the detectors, masking</strong> {listed(words)}.")
    return said


def defects(aurocs: pd.DataFrame, halves: pd.DataFrame) -> list[str]:
    """aurocs.csv and half_sizes.csv of the flat connector."""
    if aurocs.empty:
        return []
    best = aurocs.loc[aurocs.groupby("defect", sort=False)["auroc"].idxmax()].rename(columns={"auroc": "value"})
    hard = best.loc[best["value"].idxmin()]
    said = [
        f"The hardest defect is {spaced(hard.defect)}: the best detector, {titled(hard.method)}, has an image AUROC of "
        f"{within(hard)}."
    ]
    if len(halves):
        known = halves[halves["half"] < math.inf]
        small = known.loc[known.groupby("defect", sort=False)["half"].idxmin()]
        words = [
            f"{spaced(row.defect)} {f'{row.half:.2f}' if row.half > 0 else f'less than {row.smallest:.2f}'} mm "
            f"({titled(row.method)})"
            for row in small.itertuples()
        ]
        said.append(
            "The smallest size at which a detector finds half of the drawn defects, at its own threshold: "
            f"{listed(words)}. Detectors differ in their false alarms, so that sizes alone do not compare them."
        )
    return said


def calibration(findings: Findings) -> list[str]:
    """The best calibrator over all pairs of scorers and categories, and scores without calibration."""
    table = findings.study.table("calibration_tables", "overall.csv", empty=["calibrator", "log loss"])
    overall = table.set_index("calibrator")
    ranked = overall[overall.index.isin(CALIBRATORS)].sort_values("log loss")
    if len(ranked) < 2 or NONE not in overall.index:
        return []
    best, second, raw = ranked.iloc[0], ranked.iloc[1], overall.loc[NONE, "log loss"]
    useless = raw > math.log(2)
    head = (
        "A score is no probability until labelled anomalies calibrate it"
        if useless
        else "A score is a rough probability"
    )
    said = [
        f"<strong>{head}:</strong> scaled without labels, scores have a mean log loss of {number(raw)}, "
        f"{'more' if useless else 'less'} than the {number(math.log(2))} of always answering one half; of the "
        f"calibrators, the {best.name} has the lowest, {number(best['log loss'])}, and {second.name} has "
        f"{number(second['log loss'])}."
    ]
    comparison = findings.study.table("calibration_tables", "comparison.csv", empty=["error"])
    for row in comparison[comparison["error"] == "log loss"].itertuples():
        said.append(
            f"Over {row.pairs} pairs of a scorer and a category, the bounded sigmoid has a lower log loss than Platt "
            f"scaling beyond the interval in {row.better} and a higher one in {row.worse}; the median difference is "
            f"{number(row.median)}."
        )
    more = best["expected error"] > best["expected error if right"]
    said.append(
        f"The expected calibration error of the {best.name} is {number(best['expected error'])}, "
        f"{'more' if more else 'no more'} than the {number(best['expected error if right'])} that right probabilities "
        "would show in as many images."
    )
    return said + unknown_defects(findings)


def unknown_defects(findings: Findings) -> list[str]:
    """What it costs that a calibrator has not seen a kind of anomaly."""
    others = findings.study.table("calibration_tables", "others.csv", empty=["protocol"]).set_index("protocol")
    if BOUNDED not in others or not {"from logical", "structural by itself"} <= set(others.index):
        return []
    unseen, seen = others.loc["from logical", BOUNDED], others.loc["structural by itself", BOUNDED]
    return [
        f"On a kind of anomaly that the bounded sigmoid was not fitted to, the log loss is "
        f"{'higher' if unseen > seen else 'not higher'}: {number(unseen)} on structural anomalies if it was fitted to "
        f"logical ones, and {number(seen)} if it was fitted to structural ones."
    ]


def costs(table: pd.DataFrame) -> list[str]:
    """`table` as `cards.costs_of` gives it."""
    if table.empty:
        return ["There is no measurement for this profile."]
    said = []
    for column, unit in ((PREDICT, "ms an image"), (FIT, "s to fit")):
        low, high = table.loc[table[column].idxmin()], table.loc[table[column].idxmax()]
        said.append(f"from {low[column]:.1f} ({low['entry']}) to {high[column]:.1f} {unit} ({high['entry']})")
    measured = counted(len(table), "measured detector and ensemble", "measured detectors and ensembles")
    ensembles = [
        f"{row['entry']} {row[FIT]:.1f} s, {row[MEMBERS]:.1f} s of them for its members"
        for _, row in table[table[MEMBERS] > 0].iterrows()
    ]
    more = [f"The fit of an ensemble includes the fit of its members: {'; '.join(ensembles)}."] if ensembles else []
    return [f"The {measured} take {listed(said)}.", *more]


def _means(findings: Findings) -> pd.DataFrame:
    """The mean image AUROC of detectors alone: kinds in columns."""
    rows = findings.main[(findings.main["metric"] == "image AUROC") & (findings.main["group"] == "member")]
    return rows.pivot(index="entry", columns="kind", values="value")


def _row(table: pd.DataFrame, **named: str) -> Any:
    """The one row with these values."""
    for column, value in named.items():
        table = table[table[column] == value]
    return table.iloc[0]
