import base64
import itertools
import re
import xml.etree.ElementTree
from html.parser import HTMLParser

import made_up
import numpy as np
import pytest
from matplotlib.text import Text

from a2v import conditions, metrics, models
from a2v.benchmarking import charts, hash_charts, markup, report, retrieval, style, tables

# What dichromats see, of linear RGB (Machado, Oliveira, Fernandes 2009, severity 1).
SIGHT = {
    "full": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# Elements that HTML never closes.
VOID = {"meta", "img", "br", "hr", "link"}


@pytest.fixture(scope="module")
def rows():
    return made_up.rows(conditions=("clean", "10 dB", "0 dB", "-20 dB gain"), queries=20)


@pytest.fixture(scope="module")
def codes():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(20, 128))[np.arange(600) % 20]
    return np.packbits(centres + generator.normal(size=(600, 128)) > 0, axis=1)


@pytest.fixture(scope="module")
def everybody(rows):
    """The rows of a run in which every system that has a look was asked."""
    kept = [row for row in rows if row.get("system") in (None, "conv128")]
    for name in style.LOOKS.keys() - {"conv128"}:
        kept += [row | {"system": name} for row in kept if row.get("system") == "conv128"]
    return kept


@pytest.fixture(scope="module")
def figures(rows, everybody, codes):
    generator = np.random.default_rng(0)
    errors = {name: generator.uniform(5, 45, (2, len(conditions.NAMES))) for name in style.LOOKS}
    originals = [f"THE WIDEST MUSIC {k % 20} WITH WOMEN" for k in range(600)]
    return {
        "length": charts.accuracy_against_length(rows),
        "every": charts.accuracy_against_length(rows, shown=None),
        "snr": charts.accuracy_against_snr(rows),
        "det": charts.det(rows),
        "length of all": charts.accuracy_against_length(everybody),
        "det of all": charts.det(everybody, lengths_s=(1.0, 3.0)),
        "errors": hash_charts.bit_errors(list(conditions.NAMES), errors),
        "distances": hash_charts.distances(
            generator.binomial(128, 0.15, 900), generator.binomial(128, 0.5, 900), n_bits=128
        ),
        "balance": hash_charts.bit_balance(codes),
        "components": hash_charts.principal_components(codes, originals),
        "mfcc": hash_charts.mfcc(generator.normal(size=(100, 13)) * 10),
    }


def lab(colour, sight):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(SIGHT[sight]) @ linear, 0, 1)
    f = np.cbrt(TO_XYZ @ seen / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


NIGHT = {name: report.NIGHT.get(colour, colour) for name, colour in style.COLOURS.items()}


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("colours", [style.COLOURS, NIGHT], ids=["day", "night"])
def test_colours_of_systems_stay_apart(sight, colours):
    for a, b in itertools.combinations(colours, 2):
        if style.COLOURS[a] == style.COLOURS[b]:  # relatives, see below
            continue
        assert np.linalg.norm(lab(colours[a], sight) - lab(colours[b], sight)) > 10, (a, b)


@pytest.mark.parametrize(
    ("colours", "paper"), [(style.COLOURS, "#ffffff"), (NIGHT, "#14181d")], ids=["day", "night"]
)
def test_colours_of_systems_stand_out_from_the_page(colours, paper):
    assert f"--paper: {paper.replace('#ffffff', '#fff')}" in report.STYLE
    for name, colour in colours.items():
        dark, light = sorted(((lab(c, "full")[0] + 16) / 116) ** 3 for c in (colour, paper))
        assert (light + 0.05) / (dark + 0.05) > 2.7, name


def test_a_system_looks_the_same_beside_any_others():
    everybody = style.looks(list(style.COLOURS))
    for name in style.COLOURS:
        assert style.looks([name])[name] == everybody[name]
    strangers = [f"stranger {number}" for number in range(20)]
    drawn = style.looks([*style.COLOURS, *strangers])
    assert len({tuple(map(str, look.values())) for look in drawn.values()}) == len(drawn)


def test_every_model_has_a_look_of_its_own():
    assert set(models.names()) <= style.LOOKS.keys()
    drawn = style.looks(list(style.LOOKS))
    for a, b in itertools.combinations(drawn.values(), 2):
        if a["color"] == b["color"]:
            assert a["marker"] != b["marker"] and a["linestyle"] != b["linestyle"]


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("length", ["clean", "10 dB", "0 dB"]),
        ("every", ["clean", "10 dB", "0 dB", "−20 dB gain"]),
        ("snr", ["1 s", "2 s", "3 s", "5 s", "6 s", "10 s"]),
        ("det", ["1 s", "3 s", "10 s"]),
    ],
)
def test_figure_has_its_panels(figures, name, titles):
    assert [a.get_title("left") for a in figures[name].axes if a.axison] == titles


def test_accuracy_against_length_draws_the_rates(rows, figures):
    axis = figures["length"].axes[1]
    answers = tables.parts(rows)[2]
    for system, look in style.looks(made_up.SKILL).items():
        if system == style.CHANCE:
            continue
        (line,) = [line for line in axis.lines if line.get_color() == look["color"]]
        mine = metrics.select(answers, system=system, condition="10 dB")
        rates = [
            100 * metrics.hit_rates(metrics.select(mine, length_s=length_s))["track"]
            for length_s in made_up.LENGTHS_S
        ]
        np.testing.assert_allclose(line.get_ydata(), rates)
        np.testing.assert_array_equal(line.get_xdata(), made_up.LENGTHS_S)


def test_accuracy_against_snr_rises_in_db(figures):
    labels = figures["snr"].axes[-1].get_xticklabels()
    assert [label.get_text() for label in labels] == ["0", "10", "clean"]
    assert np.all(np.diff([label.get_position()[0] for label in labels]) > 0)


def test_det_falls_and_its_ring_is_the_threshold(rows, figures):
    answers = [row for row in tables.parts(rows)[2] if row["condition"] in tables.MAIN]
    mine = metrics.select(answers, system="conv128", length_s=1.0)
    colour = style.COLOURS["conv128"]
    curve, ring = [ln for ln in figures["det"].axes[0].lines if ln.get_color() == colour]
    assert np.all(np.diff(curve.get_xdata()) <= 0) and np.all(np.diff(curve.get_ydata()) >= 0)
    accepts = 100 * metrics.false_accepts(mine, 1.7)
    assert 0 < accepts == pytest.approx(ring.get_xdata()[0])
    known = metrics.select(mine, known=True)
    right = metrics.hits(known)["track"] & (metrics.scores(known) >= 1.7)
    assert ring.get_ydata()[0] == pytest.approx(100 * np.mean(~right))
    assert 100 * metrics.false_rejects(mine, 1.7) <= ring.get_ydata()[0]


def test_det_without_unknown_queries_has_no_curve(rows):
    known = [row for row in rows if row.get("known", True)]
    assert not any(axis.lines for axis in charts.det(known).axes)


@pytest.mark.parametrize(
    "name",
    ["length", "every", "snr", "det", "length of all", "det of all", "errors", "distances"]
    + ["balance", "components", "mfcc"],
)
def test_texts_do_not_collide(figures, name, monkeypatch):
    drawn, draw = {}, Text.draw

    def note(text, renderer):
        if text.get_text().strip():
            drawn[id(text)] = text
        draw(text, renderer)

    monkeypatch.setattr(Text, "draw", note)
    figure = figures[name]
    with style.drawing():
        figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn.values()]
    assert len(boxes) > 8
    for (a, one), (b, two) in itertools.combinations(boxes, 2):
        across = min(one.x1, two.x1) - max(one.x0, two.x0)
        along = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert across < 1 or along < 2, f"{a!r} and {b!r}"
    for text, box in boxes:
        inside = min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1)
        assert inside > -1, text


def test_principal_components_find_the_clusters(codes):
    figure = hash_charts.principal_components(codes, ["abc"[k % 20 % 3] for k in range(600)])
    points = [np.asarray(c.get_offsets()) for c in figure.axes[0].collections]
    assert sum(len(p) for p in points if len(p) > 1) == 600
    assert [t.get_text() for t in figure.axes[0].texts] == ["1", "2", "3"]


def test_principal_components_do_not_depend_on_the_order_of_windows(codes):
    order = np.random.default_rng(1).permutation(600)
    drawn = [
        hash_charts.principal_components(codes[o], [f"{k % 20:02d}" for k in o]).axes[0]
        for o in (np.arange(600), order)
    ]
    for a, b in zip(drawn[0].texts, drawn[1].texts, strict=True):
        np.testing.assert_allclose(a.get_position(), b.get_position(), atol=1e-6)


def test_principal_components_are_all_shown(figures):
    axis = figures["components"].axes[0]
    points = np.concatenate([np.asarray(c.get_offsets()) for c in axis.collections])
    assert np.all(np.abs(points) <= axis.get_xlim()[1])
    assert axis.get_xlim() == axis.get_ylim()


def test_distances_are_shares_of_the_pairs(figures):
    for steps in figures["distances"].axes[0].patches:
        if hasattr(steps, "get_data"):
            assert steps.get_data().values.sum() == pytest.approx(100)


def test_bit_balance_draws_the_share_of_ones(codes, figures):
    tops = [bar.get_y() + bar.get_height() for bar in figures["balance"].axes[0].patches]
    np.testing.assert_allclose(tops, 100 * np.unpackbits(codes, axis=1).mean(axis=0))


def test_mfcc_is_white_at_zero_however_lopsided(figures):
    image = hash_charts.mfcc(np.abs(np.random.default_rng(0).normal(size=(100, 13)))).axes[0].images
    red, green, blue, _ = image[0].cmap(image[0].norm(0.0))
    assert min(red, green, blue) > 0.95


class Page(HTMLParser):
    """Collects what a page is made of, and checks that its elements are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.images, self.links = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.links += [given[name] for name in ("src", "href", "srcset") if name in given]
        if tag == "img":
            self.images.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(rows, figures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    more = report.Picture("balance", lambda: figures["balance"], "How balanced <bits> are")
    parts = [*retrieval.parts(rows), more]
    written = report.write(folder, title="made up", parts=parts)
    assert sorted(written) == sorted(folder.iterdir())
    assert tables.accuracy(rows) in (folder / "tables.md").read_text(encoding="utf-8")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_report_asks_for_nothing_outside_itself(page):
    parsed = Page()
    parsed.feed(page)
    assert not parsed.open
    assert all(link.startswith("data:image/svg+xml;base64,") for link in parsed.links)
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert not re.search(r"url\(|@import", page)
    assert all(image["alt"] for image in parsed.images) and len(parsed.images) == 5


def test_report_figures_are_svg_that_knows_the_night(page):
    for data in re.findall(r"base64,([^\"]+)", page):
        text = base64.b64decode(data).decode()
        assert xml.etree.ElementTree.fromstring(text).tag.endswith("svg")
        assert "prefers-color-scheme: dark" in text
        assert f"fill: {style.INK}" in text.split("</style>", 1)[1]


def test_report_holds_every_cell_of_the_tables(page, rows):
    text = re.sub(r"<[^>]+>", "", page)
    for table in (tables.accuracy(rows, shown=None), tables.quality(rows)):
        for rate, low, high in re.findall(r"([\d.]+) \[(\d+)-(\d+)\]", table):
            assert f"{rate} {low}–{high}" in text
    assert tables.statement(rows) in text


def test_report_of_other_conditions_and_lengths_is_whole(rows, tmp_path):
    few = [row for row in rows if row["kind"] != "answer" or row["condition"] == "-20 dB gain"]
    few = [row for row in few if row["kind"] != "answer" or row["length_s"] == 2.0]
    report.write(tmp_path, title="few", parts=retrieval.parts(few))
    assert "-20 dB gain" in tables.accuracy(few)
    assert [a.get_title("left") for a in charts.det(few).axes] == ["2 s"]


def test_svg_of_a_figure_is_the_same_each_time(rows):
    first, second = (report.svg(charts.det(rows)) for _ in range(2))
    assert first == second


def test_markup_escapes_and_marks():
    assert markup.to_html("a <b> & `c*`\nand **d**") == (
        "<p>a &lt;b&gt; &amp; <code>c*</code> and <strong>d</strong></p>"
    )
    assert markup.to_html("## Two\n\nthree") == "<h2>Two</h2>\n<p>three</p>"


def test_markup_groups_a_table_by_its_repeated_column():
    table = "| c | s | 1 s |\n|---|---|---:|\n"
    shown = markup.to_html(f"{table}| x | a | 9.5 [4-20] |\n| x | b | – |\n| y | a | 1 |")
    assert shown.count('class="group"') == 2 and '<th scope="col">c</th>' not in shown
    assert 'style="--share:10%">9.5 <small>4–20</small>' in shown
    assert markup.to_html(f"{table}| x | a | 1 |\n| y | a | 1 |").count("group") == 0


def test_report_escapes_names(tmp_path):
    path = report.page(tmp_path / "r.html", title="<script>", parts=["# <script>"])
    assert "<script" not in path.read_text(encoding="utf-8")
