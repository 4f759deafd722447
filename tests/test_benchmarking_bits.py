import itertools
import runpy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from a2v import audio, corpora, hashing, intervals, matching, metrics, rotation, runs, runtime
from a2v.benchmarking import bit_tables, bits, retrieval, runner
from a2v.corpora import Track
from a2v.errors import A2VError
from a2v.search import ExactSearch

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "bits.py"
ABOUT = {"corpus": "tunes", "corpus_sha256": "0" * 64, "seed": 3, "commit": "c0", "machine": "one"}


@pytest.fixture(scope="module")
def encoder(encoder_path):
    return runtime.Encoder(encoder_path)


@pytest.fixture(scope="module")
def tracks(melody, write_wav, tmp_path_factory):
    """Eight tunes, two of them to ask for, six to train on; one is silent for a while."""
    folder = tmp_path_factory.mktemp("tunes")
    made = []
    for k in range(8):
        tune = melody(k, 9.0)
        tune[:48000] *= k != 5
        path = write_wav(folder / f"{k}.wav", tune)
        made.append(Track(str(path), f"{k}", split="tune" if k < 2 else "train"))
    return made


@pytest.fixture(scope="module")
def rows(encoder, tracks, melody, write_wav, tmp_path_factory):
    """All ways, asked with six clean or noisy excerpts of each length."""
    # A whitening of hardly more windows than components would find nothing.
    long = write_wav(tmp_path_factory.mktemp("long") / "long.wav", melody(99, 180.0))
    parts = bits.parted(tracks, 3)[0], [Track(str(long), "long", split="train")]
    planned = [
        replace(task, conditions=("clean", "10 dB")) for task in bits.tasks(parts[0], queries=6)
    ]
    made = bits.measure(encoder, parts, planned, bits.WAYS, seed=3, noises=[], rooms=[])
    versions = {"a2v": "0"}
    head = {"kind": "run", **ABOUT, "versions": versions, "about": "Encoder tiny."}
    head |= {"tracks": len(parts[0]), "fitting": len(parts[1])}
    return [row | {"part": "untrained"} for row in [head, *made]]


def systems(rows):
    return {row["system"]: row for row in rows if row["kind"] == "system"}


def answers(rows):
    return [row for row in rows if row["kind"] == "answer"]


def noisy(seed, n, d):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def test_probed_weights_give_the_distance_of_the_nearest_of_all_probes():
    embedding, others = noisy(0, 6, 32), noisy(1, 40, 32) > 0
    weights = bits.probed(embedding, n_bits=3)
    for own, weight in zip(embedding, weights, strict=True):
        unsure = np.argsort(np.abs(own))[:3]
        nearest = np.full(len(others), 99)
        for turned in itertools.product([False, True], repeat=3):
            probe = own > 0
            probe[unsure] ^= turned
            nearest = np.minimum(nearest, (probe != others).sum(axis=1))
        np.testing.assert_array_equal(((own > 0) != others) @ weight, nearest)


def test_weighed_bits_are_asked_as_the_product_asks(encoder, tracks):
    catalogue = bits.embedded(encoder, tracks)
    made = bits.Bits(
        lambda heard: encoder.beginnings(heard, phases=4), catalogue, None, median=False
    )
    waveform = audio.load(tracks[5].path)[32000:96000]  # its first half is silent
    found = made.hits(waveform)["weighed"]
    prints = encoder.fingerprint(waveform, phases=4)
    codes = [encoder.hash(audio.load(track.path)) for track in tracks]
    engine = ExactSearch(np.concatenate(codes), np.cumsum([0, *map(len, codes)]))
    for own, hit in zip(found, engine.search([part[1:] for part in prints]), strict=True):
        assert own.windows == hit.windows < len(prints[0][1])
        np.testing.assert_array_equal(own.position, hit.position)
        np.testing.assert_allclose(own.distance, hit.distance)


def test_probed_leaves_so_many_bits_of_each_window_out():
    embedding = np.round(noisy(2, 50, 64))  # many are equally unsure
    assert (bits.probed(embedding).sum(axis=1) == 64 - bits.PROBED).all()
    np.testing.assert_array_equal(bits.probed(embedding, n_bits=0), bits.alone(embedding))


def test_works_that_maps_are_fitted_to_are_not_in_the_catalogue(tracks):
    tracks = [replace(t, work=f"w{int(t.track) // 2}") for t in tracks]
    catalogue, fitting = bits.parted(tracks, 0)
    assert sorted(catalogue + fitting, key=tracks.index) == tracks
    assert {t.split for t in fitting} == {"train"}
    assert not {t.work for t in fitting} & {t.work for t in catalogue}


def test_only_tune_tracks_are_asked_for_each_alike(tracks):
    planned = bits.tasks(tracks, queries=10)
    assert Counter((t.length_s, t.track) for t in planned) == {
        (length_s, track): 5 for length_s in bits.LENGTHS_S for track in ("0", "1")
    }
    assert all(t.known and t.split == "tune" for t in planned)


def test_catalogue_without_tune_tracks_is_refused(tracks):
    with pytest.raises(A2VError, match="0 tune tracks in a catalogue of 6"):
        bits.tasks(tracks[2:])


def test_too_little_to_fit_maps_to_is_refused(encoder, tracks):
    asked = (bits.Way(map="ITQ"),)
    with pytest.raises(A2VError, match="1 tracks to fit maps to: 33 windows of 64 components"):
        bits.measure(encoder, (tracks[:2], tracks[2:3]), [], asked, seed=0, noises=[], rooms=[])


def test_product_answers_as_one_of_the_ways(encoder, tracks):
    parts = bits.parted(tracks, 3)
    task = bits.tasks(parts[0], queries=1, lengths_s=(3.0,))[0]
    own = [replace(task, number=k, conditions=("0 dB",)) for k in range(4)]
    heard = []

    class Product:
        name = "product"

        def query(self, waveform):
            heard.append(waveform)
            return []

    for each in own:
        retrieval.answered(each, [Product()], 3, noises=[], rooms=[])
    found = bits.measure(encoder, parts, own, bits.PLAIN, seed=3, noises=[], rooms=[])
    codes = [encoder.hash(audio.load(t.path)) for t in parts[0]]
    engine = ExactSearch(np.concatenate(codes), np.cumsum([0] + [len(c) for c in codes]))
    names = [(t.track, t.path) for t in parts[0]]
    rows = metrics.select(answers(found), system=bits.PLAIN[1].name)
    for row, waveform in zip(rows, heard, strict=True):
        best = matching.identify(encoder, engine, names, waveform, phases=bits.PLAIN[1].phases)[0]
        assert (row["answer"], row["offset_s"]) == (best.track, round(best.offset_s, 4))
        assert row["score"] == pytest.approx(best.score, abs=1e-4)


def test_every_way_finds_clean_excerpts(rows):
    clean = metrics.select(answers(rows), condition="clean", length_s=3.0)
    assert {row["system"] for row in clean} == {way.name for way in bits.WAYS}
    assert metrics.hits(clean)["near"].all()


def test_all_ways_hear_the_same_excerpts(rows):
    def asked(system):
        own = metrics.select(answers(rows), system=system)
        return [(r["condition"], r["length_s"], r["truth"], r["start_s"]) for r in own]

    assert len({tuple(asked(way.name)) for way in bits.WAYS}) == 1
    assert all("ms" not in row for row in answers(rows))  # it would be that of all together


def test_clip_is_embedded_once_for_all_ways(tracks, encoder, monkeypatch):
    parts, calls = bits.parted(tracks, 3), []
    beginnings = runtime.Encoder.beginnings
    monkeypatch.setattr(
        runtime.Encoder,
        "beginnings",
        lambda self, *a, **k: calls.append(1) or beginnings(self, *a, **k),
    )
    planned = [replace(t, conditions=("clean", "10 dB")) for t in bits.tasks(parts[0], queries=2)]
    bits.measure(encoder, parts, planned, bits.WAYS, seed=3, noises=[], rooms=[])
    assert len(calls) == len(planned) * 2


def test_median_balances_every_bit_of_the_catalogue(encoder, tracks):
    catalogue = bits.embedded(encoder, tracks)
    assert not catalogue.audible.all()
    for median in (False, True):
        made = bits.Bits(None, catalogue, None, median=median).statistics
        assert (made["min_bit_entropy"] > 0.999) == median


def test_bits_are_those_of_the_mapped_embeddings(encoder, tracks):
    catalogue = bits.embedded(encoder, tracks)
    fitted = rotation.fit_itq(catalogue.embeddings)
    made = bits.Bits(None, catalogue, fitted, median=False).statistics
    turned = rotation.mapped(catalogue.embeddings, fitted)[catalogue.audible]
    assert made == hashing.statistics(hashing.pack(hashing.binarize(turned)))


def cells(text, heading):
    """A table below a heading: list of dicts."""
    lines = text.split(f"{heading}\n\n", 1)[1].split("\n\n", 1)[0].splitlines()
    head, _, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in body]


def test_tables_count_what_the_answers_say(rows):
    table = cells(bit_tables.page(rows), "### Clips of 1 s")
    assert len(table) == len(bits.WAYS)
    for way, row in zip(bits.WAYS, table, strict=True):
        assert [row[key] for key in ("map", "threshold", "bits", "phases")] == [
            way.map,
            way.threshold,
            way.weights,
            str(way.phases),
        ]
        own = metrics.select(answers(rows), system=way.name, length_s=1.0)
        for name, cell in (("10 dB", metrics.select(own, condition="10 dB")), ("all", own)):
            right = sum(r["answer"] == r["truth"] for r in cell)
            low, high = intervals.wilson(right, len(cell))
            expected = f"{100 * right / len(cell):.1f} [{100 * low:.0f}-{100 * high:.0f}]"
            assert row[name] == expected


def test_table_of_bits_has_each_map_and_threshold_once(rows):
    table = cells(bit_tables.page(rows), "### The bits")
    made = [(row["map"], row["threshold"]) for row in table]
    assert made == list(itertools.product(bits.MAPS, bits.THRESHOLDS))
    for row in table:
        way = bits.Way(row["map"], row["threshold"])
        found = systems(rows)[way.name]["mean_bit_correlation"]
        assert row["mean correlation"] == f"{found:.3f}"


def test_page_holds_both_parts_whichever_came_first(rows, encoder, tracks):
    parts = bits.parted(tracks, 3)
    planned = bits.tasks(parts[0], queries=2, lengths_s=(1.0,))
    asked = {"seed": 3, "noises": [], "rooms": []}
    made = [rows[0] | {"about": "Trained."}]
    for name in ("with", "without"):
        made += bits.measure(encoder, parts, planned, bits.PLAIN, about={"training": name}, **asked)
    trained = [row | {"part": "trained"} for row in made]
    page = bit_tables.page(trained + rows)
    assert page == bit_tables.page(rows + trained)
    below = page.split(bit_tables.TITLES["trained"])[1]
    assert [row["training"] for row in cells(below, "### The bits")] == ["with", "without"]
    assert len(cells(below, "### Clips of 1 s")) == 4
    assert page.startswith(bit_tables.page(rows).rstrip("\n"))


def test_page_of_nothing_is_refused():
    with pytest.raises(A2VError, match="no answers"):
        bit_tables.page([])


def test_published_tables_are_those_of_the_raw_answers():
    folder = SCRIPT.parent / "results" / "bits"
    if not (folder / f"{runner.ANSWERS}.gz").exists():
        pytest.skip("nothing published")
    made = bit_tables.page(runner.read(folder / runner.ANSWERS))
    assert SCRIPT.with_suffix(".md").read_text(encoding="utf-8") == made


@pytest.fixture
def suite(tracks, tmp_path):
    """A suite's file over the tunes."""
    corpora.manifest.write(tmp_path / "tunes.csv", tracks)
    path = tmp_path / "suite.toml"
    path.write_text('suite = "retrieval"\ncorpus = ["tunes.csv"]\n', encoding="utf-8")
    return path


@pytest.fixture
def script(tmp_path):
    """A function: runs the script and gives the page and the rows it wrote."""
    main = runpy.run_path(str(SCRIPT))["main"]
    places = ["--results", str(tmp_path / "bits"), "--page", str(tmp_path / "bits.md")]

    def run(*arguments):
        main([*places, *map(str, arguments)])
        page = (tmp_path / "bits.md").read_text(encoding="utf-8")
        return page, runner.read(tmp_path / "bits" / runner.ANSWERS)

    return run


def test_script_asks_one_encoder_in_all_ways(script, suite, encoder_path):
    asked = ("untrained", suite, "--encoder", encoder_path, "--queries", 2)
    page, rows = script(*asked)
    assert len(cells(page, "### Clips of 3 s")) == len(bits.WAYS)
    n = len(bits.WAYS) * len(bits.CONDITIONS) * len(bits.LENGTHS_S) * 2
    assert len(answers(rows)) == n
    assert "Encoder tiny (7a31)" in page and "catalogue of 6 tracks" in page
    again = script(*asked)
    assert again == (page, rows)
    assert script("table") == (page, rows)


@pytest.mark.slow
def test_script_trains_each_variant_once(script, suite, dataset, tmp_path, monkeypatch):
    variants = ("saturation 0, growing slope", "no batch norm")
    asked = ("trained", suite, dataset, tmp_path / "runs", "--variants", *variants)
    asked += ("--steps", 2, "--batch", 16, "--queries", 2)
    page, rows = script(*asked)
    table = cells(page, "### Clips of 1 s")
    assert [row["training"] for row in table] == [name for name in variants for _ in bits.PLAIN]
    slope, plain = (runs.load(run)[0].get_config() for run in folders(tmp_path))
    assert (slope["saturation"], slope["slope_growth"]) == (0, 0.05)
    assert (plain["batch_norm"], plain["saturation"]) == (False, 0.1)
    monkeypatch.setattr("keras.Model.fit", None)
    assert script(*asked) == (page, rows)
    with pytest.raises(A2VError, match="was begun with batch_size = 16"):
        script(*asked, "--batch", 8)


def folders(folder):
    return [folder / "runs" / name for name in ("saturation_0-growing_slope", "no_batch_norm")]
