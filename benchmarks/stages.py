"""How the cost of every stage grows with hours of audio.

    python benchmarks/stages.py CORPUS [--hours H [H ...]] [--heard H]

Of `--heard` hours, a tenth and a hundredth of them: preprocessing them (recordings of CORPUS,
copied as often as needed). Of each of `--hours`: in a library of as many hours of hashes (those of
some recordings, then copies with a quarter of their bits flipped), adding a tenth of an hour more,
a query of 5 s, and all duplicates. Each in a process of its own, on one core, one thread per
library; memory is the most that the process held. Writes `benchmarks/results/stages.json` and,
from it, `benchmarks/stages.md` and `benchmarks/results/stages.svg`.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from a2v import audio, corpora, resources
from a2v.benchmarking import growth_charts, growth_process, processes, stage_process
from a2v.benchmarking.style import drawing, looks, single

HERE = Path(__file__).resolve().parent
RESULTS, TABLE = HERE / "results" / "stages.json", HERE / "stages.md"
MODEL, SEED = "conv128", 0
ADDED_H = 0.1
STAGES = {
    "preprocess": "preprocessing, s",
    "index": "adding 0.1 h, s",
    "query": "a query of 5 s, ms",
    "duplicates": "duplicates, s",
}


def measured(corpus, hours, heard):
    """Rows of results: list of dict."""
    tracks = corpora.tracks([corpus])
    chosen = processes.drawn(tracks, np.random.default_rng([SEED, 12]), least_s=30.0, most=24)
    paths = [str(track.path) for track in chosen]
    seconds = [len(audio.load(path)) / audio.SAMPLE_RATE for path in paths]
    kept, added = paths[:12], []
    for path, length in zip(paths[12:], seconds[12:], strict=True):
        if length <= 3600 * ADDED_H and sum(s for _, s in added) < 3600 * ADDED_H:
            added.append((path, length))
    if not added:
        raise SystemExit(f"{corpus}: {len(paths)} recordings to use; give 13 or more, some short")
    model, rows = str(resources.saved_model(MODEL)), []
    for h in (heard / 100, heard / 10, heard):
        spent = processes.ask(stage_process, "preprocess", hours=h, paths=paths, seconds=seconds)
        rows.append({"stage": "preprocess", "hours": h, **spent})
        print(rows[-1], flush=True)
    for h in hours:
        with tempfile.TemporaryDirectory() as folder:
            library = str(Path(folder) / "l.a2v")
            size = round(h * 3600 / 0.25)
            about = {"model": model, "paths": kept, "size": size, "seed": SEED}
            processes.ask(growth_process, "keep", library=library, **about)
            for stage, given in (
                ("query", {"path": kept[0]}),
                ("duplicates", {}),
                ("index", {"paths": [path for path, _ in added]}),
            ):
                spent = processes.ask(stage_process, stage, library=library, **given)
                if stage == "index":  # of exactly a tenth of an hour
                    share = 3600 * ADDED_H / sum(s for _, s in added)
                    spent |= {key: share * spent[key] for key in ("elapsed_s", "processor_s")}
                rows.append({"stage": stage, "hours": h, **spent})
                print(rows[-1], flush=True)
    return rows


def table(results):
    """The Markdown made from the results."""
    rows, hours = results["rows"], sorted({row["hours"] for row in results["rows"]})
    lines = [
        "# How cost grows",
        "",
        "Seconds of one core, and in brackets the most memory held, MB; the last column is the "
        f"power of the hours that time grows with over the largest {growth_charts.LARGEST} sizes. "
        "Adding, queries and duplicates are those of a library of so many hours. Made by "
        "`benchmarks/stages.py`.",
        "",
        "| stage | " + " | ".join(f"{h:g} h" for h in hours) + " | power |",
        "|---|" + "---:|" * (len(hours) + 1),
    ]
    for stage, label in STAGES.items():
        own = {row["hours"]: row for row in rows if row["stage"] == stage}
        scale, cells = 1000 if label.endswith("ms") else 1, []
        for h in hours:
            row = own.get(h)
            cell = row and f"{scale * row['processor_s']:.3g} ({row['bytes'] / 1e6:,.0f})"
            cells.append(cell or "–")
        power = growth_charts.exponent(list(own), [row["processor_s"] for row in own.values()])
        cells.append("–" if power is None else f"{power:.2f}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines += ["", "![Seconds by hours, a line a stage](results/stages.svg)", ""]
    return "\n".join(lines) + f"\n{MODEL}; {results['machine']}.\n"


def figure(results):
    """Seconds by hours, a line a stage."""
    with drawing():
        made, axis = single(6.4, 4.2)
        drawn = looks(list(STAGES))
        for stage in STAGES:
            own = [row for row in results["rows"] if row["stage"] == stage]
            hours, seconds = ([row[key] for row in own] for key in ("hours", "processor_s"))
            power = growth_charts.exponent(hours, seconds)
            label = STAGES[stage].rsplit(",", 1)[0]
            label = label if power is None else f"{label}: hours$^{{{power:.2f}}}$"
            axis.plot(hours, seconds, **drawn[stage], label=label)
        axis.set(xscale="log", yscale="log", xlabel="hours", ylabel="seconds of one core")
        axis.legend(fontsize=8)
    return made


def main():
    """Measures, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus")
    parser.add_argument("--hours", nargs="+", type=float, default=[1.0, 10.0, 100.0, 1000.0])
    parser.add_argument("--heard", type=float, default=30.0)
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = measured(args.corpus, sorted(args.hours), args.heard)
    results = {"machine": processes.processor(), "rows": rows}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    figure(results).savefig(RESULTS.with_suffix(".svg"))
    TABLE.write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
