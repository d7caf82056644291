"""Writes pages from the catalogue and the recorded results: `python -m panorax.readme`.

The README has one row per volume, comparison and kernel. The page of a volume, beside its configs,
has one row per entry: headline claim, measured value, kept claims, seconds and hardware. The
figures of the records follow. `configs/panorama.png`, the picture of the README, shows some of
these figures.
"""

import ast
import importlib
import io
import re
from pathlib import Path

from panorax import catalogue
from panorax.core.sources import folder_of, parsed

TITLES = {
    "theory": "Mathematics and learning theory",
    "vision": "Vision",
    "sequence": "Sequence models",
    "graphs": "Graphs",
    "lm": "Language models",
    "alignment": "Alignment",
    "serving": "Inference and serving",
    "quantisation": "Quantisation",
    "generative": "Generative models",
    "three_d": "3-D",
    "multimodal": "Multimodal models",
    "agents": "Agents",
    "rl": "Reinforcement learning",
    "distributed": "Distributed training",
    "hardware": "Hardware and kernels",
}
EXTRAS = {"rl": "rl"}  # volumes that need an extra of setup.cfg
PANORAMA = (  # records in rows of the picture of the README
    ("theory/manifold-field_roll", "generative/gan-samples", "theory/information-ksg"),
    ("theory/embedding-tsne",),
    ("theory/variational_inference-logistic", "theory/variational_inference-network"),
)


def volumes() -> dict[str, list[catalogue.Entry]]:
    """The entries of Panorax by volume, without empty volumes."""
    groups = {}
    for entry in catalogue.entries():
        if entry.is_own:
            groups.setdefault(entry.volume, []).append(entry)
    return groups


def volume_table() -> str:
    """A row per volume: its systems and studies, and the number of kept claims."""
    lines = ["| volume | systems and studies | claims kept |", "|---|---|---|"]
    for volume, entries in volumes().items():
        names = ", ".join(f"`{entry.name.partition('/')[2]}`" for entry in entries)
        link = f"[{TITLES[volume]}](configs/{volume}/README.md)"
        extra = f"; needs `pip install -e '.[{EXTRAS[volume]}]'`" if volume in EXTRAS else ""
        lines.append(f"| {link}, `{volume}/`{extra} | {names} | {_kept(*entries)} |")
    return "\n".join(lines)


def page(volume: str, entries: list[catalogue.Entry]) -> str:
    """The page of a volume, in Markdown."""
    lines = [
        f"# {TITLES[volume]}",
        "",
        "Written by `python -m panorax.readme` from the configs of this folder and their records.",
        f"`panorax run {entries[0].name}` runs one; `panorax show {entries[0].name}` prints its "
        "paper, equation, options and all claims.",
        *([f"The extra is `pip install -e '.[{EXTRAS[volume]}]'`."] if volume in EXTRAS else []),
        "",
        "| command | what | headline | measured | claims kept | time, hardware |",
        "|---|---|---|---|---|---|",
        *(_row(entry) for entry in entries),
        *returns_table(entries),
    ]
    for entry in entries:
        lines += [
            line
            for path in pictures(entry)
            for line in ("", f"`{entry.name}`", "", f"![{entry.title}]({path.name})")
        ]
    return "\n".join(lines) + "\n"


def pictures(entry: catalogue.Entry) -> list[Path]:
    """The figures of the record of an entry."""
    return sorted(entry.path.parent.glob(f"{entry.path.stem}-*.png"))


def _row(entry: catalogue.Entry) -> str:
    result = entry.result()
    if result is None:
        return f"| `{entry.name}` | {entry.title} | | not measured | | |"
    where = f"{result['wall_seconds']:.0f} s, {result['device']}"
    claim, measured = "", ""
    if verdicts := result["claims"]:
        verdict = headline(entry, verdicts)
        value = verdict["measured"]
        claim = f"`{verdict['claim']}`"
        measured = "not measured" if value is None else f"{value:.4g}"
    cells = (
        f"`{entry.name}`",
        entry.title,
        claim,
        measured,
        _kept(entry),
        where,
    )
    return f"| {' | '.join(cells)} |"


def returns_table(entries: list[catalogue.Entry]) -> list[str]:
    """A row per entry whose report trained several seeds in an environment; empty without any."""
    lines = [
        "",
        "Returns over seeds: the mean and its standard error, after the environment steps of one "
        "seed; seconds of the run and of its report.",
        "MinAtar is that of gymnax: only actions that do something, no sticky actions, and "
        "episodes of at most 1,000 steps.",
        "",
        "| command | environment | return | seeds | environment steps | seconds |",
        "|---|---|---|---|---|---|",
    ]
    rows = [row for entry in entries if (row := _returns(entry))]
    return [*lines, *rows] if rows else []


def _returns(entry: catalogue.Entry) -> str | None:
    metrics = (entry.result() or {"metrics": {}})["metrics"]
    name = next((m for m in metrics if re.fullmatch(r"mean_eval_return_over_\d+_seeds", m)), None)
    if name is None:
        return None
    seeds = re.search(r"\d+", name)[0]
    error = metrics.get(f"standard_error_over_{seeds}_seeds")
    spread = "" if error is None else f" \u00b1 {error:.2g}"
    steps = metrics.get("environment_steps")
    environment = importlib.import_module(entry.config).get_config().environment.name
    cells = (
        f"`{entry.name}`",
        environment,
        f"{metrics[name]:.4g}{spread}",
        seeds,
        "" if steps is None else f"{steps:,.0f}",
        f"{entry.result()['wall_seconds']:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def headline(entry: catalogue.Entry, verdicts: list[dict]) -> dict:
    """The verdict that represents the entry: on the metric HEADLINE, or on the first claim."""
    metric = entry.literals.get("HEADLINE", verdicts[0]["claim"].split()[0])
    return next(v for v in verdicts if v["claim"].split()[0] == metric)


def comparison_table() -> str:
    """A row per comparison: the median of every measured ratio of Panorax."""
    lines = ["| command | what | times as fast as | claims kept |", "|---|---|---|---|"]
    for entry in catalogue.benchmarks():
        if result := entry.result():
            ratios = [
                _ratio(row, result["rows"])
                for row in result["rows"]
                if row["contender"].startswith("panorax")
            ]
            shown = "; ".join(filter(None, ratios))
            kept = _kept(entry)
            lines.append(f"| `panorax bench {entry.name}` | {entry.title} | {shown} | {kept} |")
    return "\n".join(lines)


def _ratio(row: dict, rows: list[dict]) -> str | None:
    """The text `CASE 2.1 x COMPETITOR`; None for the competitor itself, whose ratio is 1."""
    competitor = next(
        r["contender"]
        for r in rows
        if r["case"] == row["case"] and r["ratio"]["lowest"] == r["ratio"]["highest"] == 1
    )
    how = row["contender"].removeprefix("panorax").removeprefix(", ")
    if competitor == row["contender"]:
        return None
    case = f"{row['case']} ({how})" if how else row["case"]
    return f"{case} {row['ratio']['median']:.2f} x {competitor}"


def _kept(*entries: catalogue.Entry) -> str:
    """The number of kept claims, and whether their records are stale; empty without a record."""
    measured = [entry for entry in entries if entry.result()]
    verdicts = [v for entry in measured for v in entry.result()["claims"]]
    stale = sum(entry.is_stale for entry in measured)
    which = "stale" if len(entries) == 1 else f"{stale} of {len(measured)} records stale"
    kept = f"{sum(v['kept'] for v in verdicts)} of {len(verdicts)}" if verdicts else ""
    return f"{kept}, {which}" if stale else kept


def kernel_table() -> str:
    """A row per operation of `pallas_kernels`: its folder, and the first paragraph of its page."""
    lines = ["| operation | what |", "|---|---|"]
    for file in sorted(folder_of("pallas_kernels").glob("*/__init__.py")):
        about = ast.get_docstring(parsed(file)).split("\n\n")[0].replace("\n", " ")
        name = file.parent.name
        lines.append(f"| [`{name}`](pallas_kernels/{name}/__init__.py) | {about} |")
    return "\n".join(lines)


TABLES = {"volumes": volume_table, "comparisons": comparison_table, "kernels": kernel_table}


def updated(text: str) -> str:
    """The text of the README with new tables."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        text = re.sub(f"{start}.*?{end}", lambda _: f"{start}\n{table()}\n{end}", text, flags=re.S)
    return text


def pages(root: Path) -> dict[Path, str]:
    """The text of every page of the source tree at `root`."""
    texts = {root / "README.md": updated((root / "README.md").read_text())}
    for volume, entries in volumes().items():
        texts[root / "configs" / volume / "README.md"] = page(volume, entries)
    return texts


def panorama(root: Path, width: int = 900, gap: int = 8) -> bytes:
    """The picture of the README as a PNG: rows of recorded figures, each `width` pixels wide."""
    from PIL import Image

    rows, y = [], 0
    for names in PANORAMA:
        files = [root / "configs" / f"{name}.png" for name in names]
        images = [Image.open(io.BytesIO(file.read_bytes())).convert("RGB") for file in files]
        height = (width - gap * (len(images) - 1)) / sum(im.width / im.height for im in images)
        sizes = [(round(im.width / im.height * height), round(height)) for im in images]
        rows.append((y, [im.resize(size, Image.LANCZOS) for im, size in zip(images, sizes)]))
        y += round(height) + gap
    picture = Image.new("RGB", (width, y - gap), "white")
    for y, images in rows:
        x = 0
        for image in images:
            picture.paste(image, (x, y))
            x += image.width + gap
    file = io.BytesIO()
    picture.quantize(64, Image.Quantize.MAXCOVERAGE).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    for path, text in pages(root).items():
        path.write_text(text)
    (root / "configs" / "panorama.png").write_bytes(panorama(root))
