"""One HTML file with all tables and figures of a benchmark; it needs nothing but itself."""

import base64
import html
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from a2v.benchmarking import markup, style

# Figures are drawn on a clear ground for light pages; what is too dark for dark ones, by day and
# by night.
NIGHT = {
    style.INK: "#dfe3e8",
    style.FAINT: "#39414b",
    style.COLOURS["conv128"]: "#8ab9dd",
    style.COLOURS["wang"]: "#4ccfa8",
    style.COLOURS["haitsma_kalker"]: "#cf2a72",
    style.COLOURS["fpcalc"]: "#d6b660",
    style.COLOURS["cover128"]: "#5a69b4",
}
# From this width on, in pixels, a phone scrolls a figure instead of shrinking it.
WIDE = 640
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #24292f; --soft: #5b6470; --line: #d9dde2;
  --group: #f3f5f7; --accent: #2f6f9f; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #dfe3e8; --soft: #98a2ae;
  --line: #333b45; --group: #1c2229; --accent: #4f9bd1; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: clamp(1rem, 4vw, 3rem); max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: 0 0 .75rem;
  text-wrap: balance; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .5rem; text-wrap: balance; }
p, figcaption { max-width: 42rem; text-wrap: pretty; overflow-wrap: anywhere; }
p { margin: .5rem 0 1rem; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; }
.scroll { overflow-x: auto; margin: 1rem 0; border-block: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 0; font-size: .875rem; min-width: 100%;
  font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: .34rem .7rem; white-space: nowrap; text-align: right; font-weight: 400; }
thead th { color: var(--soft); border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; position: sticky; left: 0; z-index: 1;
  background: var(--paper); }
.group th, .group th:first-child { background: var(--group); font-weight: 600; text-align: left; }
.group th { border-top: 1px solid var(--line); }
tbody tr:first-child th { border-top: 0; }
td[style] { background: color-mix(in srgb, var(--accent) calc(var(--share) * .28), transparent); }
td small { display: inline-block; min-width: 3.6em; text-align: left; font-size: .78em;
  color: var(--soft); }
td[style] small { color: color-mix(in srgb, var(--ink) 78%, transparent); }
figure { margin: 1.5rem 0 2rem; }
figure div { overflow-x: auto; }
figure img { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; }
@media (max-width: 40rem) { figure.wide img { width: auto; max-width: none; height: auto;
  min-width: 38rem; } }
@media print { .scroll { overflow: visible; } body { max-width: none; padding: 0; }
  h2, figure { break-inside: avoid; break-after: avoid; } }
"""
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
"""


class Picture(NamedTuple):
    """A figure of a page: its file's name without suffix, what draws it, and what it shows."""

    name: str
    draw: Callable[[], Figure]
    caption: str


def markdown(parts):
    """The parts of a page as Markdown, figures as links to their files: str."""
    texts = [
        f"![{part.name}]({part.name}.svg)\n\n{part.caption}"
        if isinstance(part, Picture)
        else part.strip()
        for part in parts
    ]
    return "\n\n".join(texts) + "\n"


def write(out, *, title, parts):
    """Writes all that the answers of a run say: tables, figures, and a page of both.

    Args:
        out: Path of a folder; files of these names in it are replaced.
        title: str, of the page.
        parts: list of what comes one after the other: str, Markdown as `markup.to_html` reads it,
            or `Picture`.

    Returns:
        list of Path: `tables.md`, an SVG for every figure, `report.html`.
    """
    out = Path(out)
    drawn = {part.name: svg(part.draw()) for part in parts if isinstance(part, Picture)}
    for name, data in drawn.items():
        (out / f"{name}.svg").write_bytes(data)
    (out / "tables.md").write_text(markdown(parts), encoding="utf-8")
    shown = [
        (drawn[part.name], part.caption) if isinstance(part, Picture) else part for part in parts
    ]
    page(out / "report.html", title=title, parts=shown)
    return [out / "tables.md", *(out / f"{name}.svg" for name in drawn), out / "report.html"]


def page(path, *, title, parts):
    """Writes a self-contained page.

    Args:
        path: where; replaced if it is there.
        title: str, of the document.
        parts: list of what comes one after the other: str, Markdown as `markup.to_html` reads it,
            or a pair of what `svg` returns and a caption.

    Returns:
        path.
    """
    body = [markup.to_html(part) if isinstance(part, str) else _figure(*part) for part in parts]
    head = HEAD.format(title=html.escape(title), style=STYLE)
    text = head + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    Path(path).write_text(text, encoding="utf-8")
    return path


def svg(figure):
    """Draws a figure on a clear ground.

    Args:
        figure: matplotlib Figure.

    Returns:
        bytes, SVG, whose ink turns light where the reader asks for dark pages; the same bytes for
        the same figure.
    """
    file = io.StringIO()
    with style.drawing():
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    rules = "".join(
        f'[style*="fill: {day}"] {{ fill: {night} !important }}'
        f'[style*="stroke: {day}"] {{ stroke: {night} !important }}'
        for day, night in NIGHT.items()
    )
    dark = f"<style>@media (prefers-color-scheme: dark) {{ {rules} }}</style>"
    text = file.getvalue()
    start = text.index("<svg")
    opened = text.index(">", start) + 1
    return (text[start:opened] + dark + text[opened:]).encode()


def _figure(drawn, caption):
    points = re.search(rb'width="([\d.]+)pt" height="([\d.]+)pt"', drawn).groups()
    width, height = (round(float(size) * 96 / 72) for size in points)
    wide = ' class="wide"' if width > WIDE else ""
    data = base64.b64encode(drawn).decode()
    return (
        f'<figure{wide}><div><img alt="{html.escape(caption)}" width="{width}" height="{height}" '
        f'src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption>{markup.inline(caption)}</figcaption></figure>"
    )
