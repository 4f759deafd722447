import json

import numpy as np
import pytest
from made_up import text

from a2v import audio, hashing, runtime
from a2v.benchmarking import growth, growth_charts, growth_process, growth_search, suites
from a2v.benchmarking import growth_tables as tables
from a2v.benchmarking.growth_landmarks import Copied
from a2v.classics.wang import Wang
from a2v.corpora import Track
from a2v.errors import A2VError

SIZE = 1000
SIZES = (300, SIZE)


@pytest.fixture(scope="module")
def encoder(encoder_path):
    return runtime.Encoder(encoder_path)


@pytest.fixture(scope="module")
def tracks(melody, write_wav, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tunes")
    return [
        Track(str(write_wav(folder / f"{k}.wav", melody(k, 12.0 + k))), f"{k}.wav")
        for k in range(3)
    ]


@pytest.fixture(scope="module")
def rows(encoder_path, tracks):
    counted = []
    made = growth.measure(
        [encoder_path],
        tracks,
        seed=3,
        sizes=SIZES,
        queries=2,
        progress=lambda *done: counted.append(done),
    )
    total = counted[-1][1]
    assert counted == [(k + 1, total) for k in range(total)]
    return made


@pytest.fixture(scope="module")
def waveforms(tracks):
    return [audio.load(track.path) for track in tracks[:3]]


@pytest.fixture(scope="module")
def catalogue(encoder, waveforms):
    real = [encoder.hash(waveform) for waveform in waveforms]
    return real, *growth_search.catalogue(real, SIZE, np.random.default_rng(1))


def test_all_engines_give_the_same_place(catalogue, encoder, waveforms):
    _, codes, starts = catalogue
    engines = growth_search.engines(codes, starts)
    generator = np.random.default_rng(5)
    for length_s in (1.0, 5.0, 10.0) * 4:
        prints, _ = growth_search.query(encoder, waveforms, starts, length_s, generator)
        places = {name: engine.best(prints) for name, engine in engines.items()}
        for name in ("ivf", "multi-hash"):  # these may miss
            places.pop(name)
        assert len(set(places.values())) == 1, (length_s, places)


def test_engines_find_where_a_query_was_cut(catalogue):
    _, codes, starts = catalogue
    for place in (0, 17, starts[1], SIZE - 9):
        prints = [codes[place : place + 9]]
        for name, engine in growth_search.engines(codes, starts).items():
            assert engine.best(prints) == place, name


def test_the_plain_scan_counts_every_bit(encoder):
    generator = np.random.default_rng(2)
    for width in (7, 8, 16):
        codes = generator.integers(0, 256, (40, width), dtype=np.uint8)
        query = generator.integers(0, 256, (5, width), dtype=np.uint8)
        sums = [hashing.hamming(codes[k : k + 5], query).sum() for k in range(36)]
        scan = growth_search.Scan(codes)
        assert scan.best([query]) == np.argmin(sums)
        assert scan._first(query)[0] == min(sums)


def test_a_catalogue_holds_recordings_and_disturbed_copies(catalogue):
    real, codes, starts = catalogue
    once = np.concatenate(real)
    assert codes.shape == (SIZE, real[0].shape[1]) and starts[-1] == SIZE
    np.testing.assert_array_equal(codes[: len(once)], once)
    np.testing.assert_array_equal(np.diff(starts)[:3], [len(own) for own in real])
    copies = codes[len(once) : 2 * len(once)]
    flipped = hashing.hamming(copies, once).mean() / (8 * once.shape[1])
    assert flipped == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("size", [1, 40, 60])
def test_a_small_catalogue_is_cut(catalogue, size):
    real, codes, _ = catalogue
    small, starts = growth_search.catalogue(real, size, np.random.default_rng(1))
    np.testing.assert_array_equal(small, codes[:size])
    assert starts[-1] == size and (np.diff(starts) > 0).all()


def test_a_catalogue_too_small_for_the_query_is_refused(catalogue, encoder, waveforms):
    generator = np.random.default_rng(1)
    _, starts = growth_search.catalogue(catalogue[0], 20, generator)
    with pytest.raises(A2VError, match="no track in the catalogue is longer than 10 s"):
        growth_search.query(encoder, waveforms, starts, 10.0, generator)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_so_many_bits_of_a_query_are_flipped(catalogue, encoder, waveforms, share):
    _, codes, starts = catalogue
    generator, found = np.random.default_rng(7), []
    for _ in range(20):
        prints, place = growth_search.query(encoder, waveforms, starts, 5.0, generator)
        flipped = growth_search.disturbed(prints, codes, place, share, generator)
        apart = []
        for before, own in zip(prints, flipped, strict=True):
            there = [codes[k : k + len(own)] for k in (int(place), int(place) + 1)]
            least = min(hashing.hamming(own, these).mean() for these in there)
            apart.append(least / encoder.n_bits)
            assert before.shape == own.shape
        found.append(min(apart))
    assert np.mean(found) == pytest.approx(share, abs=0.03)


def test_a_query_that_differs_enough_is_left_as_it_is(catalogue):
    _, codes, _ = catalogue
    prints = [~codes[5:14], ~codes[5:14]]
    assert growth_search.disturbed(prints, codes, 5.2, 0.25, None) is prints


def test_landmarks_are_copied_for_as_many_hours_as_are_asked_for(waveforms):
    once = Wang()
    for k, waveform in enumerate(waveforms):
        once.add(f"{k}", waveform)
    once.query(waveforms[0])
    hours = 4.5 * sum(map(len, waveforms)) / audio.SAMPLE_RATE / 3600
    generator = np.random.default_rng(0)
    copied = Copied(waveforms, hours, shift=40, generator=generator)
    alone = Copied(waveforms, 0.0, shift=40, generator=generator)
    assert copied.n_bytes == pytest.approx(5 * once.n_bytes, rel=0.02)
    np.testing.assert_array_equal(alone._postings, once._postings)
    for k, waveform in enumerate(waveforms):
        heard = waveform[40000:90000]
        for index in (alone, copied):
            best = index.lookup(*index.query_landmarks(heard))[0]
            assert (best.track, best.offset_s) == (f"{k:08}", pytest.approx(2.5, abs=0.02))
        # Copies lie at other frequencies: none is as good.
        runner_up = copied.lookup(*copied.query_landmarks(heard))[1]
        assert runner_up.score < 0.7 * best.score


def test_every_engine_is_asked_of_every_size(rows):
    asked = [row for row in rows if row["kind"] == "search"]
    for size in SIZES:
        engines = {row["engine"] for row in asked if row["codes"] == size}
        assert engines >= {"exact", "numpy", "wang"}
        for engine in engines:
            own = [row for row in asked if (row["codes"], row["engine"]) == (size, engine)]
            lengths = sorted({row["length_s"] for row in own})
            assert lengths == list(growth.LENGTHS_S)
            assert len(own) == 2 * 3 * (1 if engine == "wang" else len(growth.SHARES))
            assert all(row["right"] for row in own if row["length_s"] > 1), engine
            assert all(row["processor_s"] > 0 for row in own)
    assert json.loads(json.dumps(rows)) == rows


def test_memory_that_is_held_grows_with_the_catalogue(encoder_path, tracks, tmp_path):
    held = []
    for size in (1000, 400_000):
        library = {"model": str(encoder_path), "library": str(tmp_path / f"{size}.a2v")}
        paths = [track.path for track in tracks]
        kept = growth_process.keep(**library, paths=paths, size=size, seed=0)
        assert kept["file_bytes"] > size * 4 and kept["processor_s"] > 0
        found = growth.processes.ask(growth_process, "hold", engine="exact", **library)
        held.append(found["held_bytes"])
    width = runtime.Encoder(encoder_path).n_bits // 8
    assert held[1] - held[0] > 400_000 * width / 2


def test_an_engine_is_asked_no_longer_than_allowed(encoder_path, tracks, tmp_path):
    library = {"model": str(encoder_path), "library": str(tmp_path / "l.a2v")}
    paths = [track.path for track in tracks]
    growth_process.keep(**library, paths=paths, size=SIZE, seed=0)
    asked = {"paths": paths, "lengths_s": [1.0], "seed": 0, "queries": 9, "budget_s": 0.0}
    found = growth_process.search(**library, shares=[0.1], **asked)["queries"]
    assert {row["engine"] for row in found} >= {"exact", "numpy"}
    assert max(row["number"] for row in found) == growth_process.LEAST - 1
    found = growth_process.landmarks(hours=0.01, **asked)["queries"]
    assert len(found) == growth_process.LEAST


def made_up():
    about = {"system": "mine", "hours": 2.0, "codes": 1000}
    rows = [{"kind": "growth", "tracks": ["a"], "processor": "cpu"}]
    rows += [{"kind": "catalogue", **about, "bytes": 16_000, "file_bytes": 10**6, "faiss": None}]
    for engine, taken in (("exact", 48_000), ("faiss", 16_000)):
        rows.append({"kind": "held", **about, "engine": engine, "held_bytes": taken})
    about_wang = {"system": "wang", "codes": 1000, "hours": 3.0}
    rows.append({"kind": "landmarks", **about_wang, "bytes": 320_000})
    for engine, seconds, right in (("faiss", 0.1, [1, 0]), ("exact", 0.5, [1, 1])):
        for number, hit in enumerate([*right, 1] if engine == "faiss" else right):
            asked = {"length_s": 5.0, "share": 0.25, "number": number, "right": bool(hit)}
            rows.append(
                {"kind": "search", **about, "engine": engine, **asked, "processor_s": seconds}
            )
    asked = {"engine": "wang", "length_s": 5.0, "number": 0, "right": True, "processor_s": 0.2}
    return [*rows, {"kind": "search", **about, "system": "wang", **asked}]


def test_tables_hold_times_shares_and_memory():
    time = tables.times(made_up()).splitlines()[-1]
    assert time == "| mine | 1,000 | 2.00 | 5 s | 100 | 500 | 5.0 | – | – | – | – | 200 | 2.0 |"
    found = tables.recall(made_up()).splitlines()[-1]
    assert found.startswith("| mine | 1,000 | 5 s | 25 % | 2 | 50.0 [")
    assert "| 100.0 [" in found and "| 3 | 66.7 [" in found
    held = tables.memory(made_up()).splitlines()[-1]
    assert held == ("| mine | 1,000 | 0.0160 | 0.0160 | 1.0 | 0.0480 | 3.0 | 0.320 | 20 | 1.00 |")
    shown = tables.series(made_up(), "mine")
    assert {label: points.tolist() for label, points in shown.items()} == {
        "a2v": [[2.0], [100.0]],
        "exact": [[2.0], [500.0]],
        "wang": [[3.0], [200.0]],
    }


def test_sizes_are_calculated_from_the_two_largest_catalogues():
    rows = [{"kind": "landmarks"}]
    for codes, seconds in ((10**6, 0.02), (10**7, 0.11)):
        about = {"system": "mine", "codes": codes, "hours": codes * 0.25 / 3600}
        size = {"bytes": 16 * codes, "file_bytes": 30 * codes}
        rows.append({"kind": "catalogue", **about, **size})
        rows.append({"kind": "held", **about, "engine": "faiss", "held_bytes": 18 * codes})
        asked = {"engine": "faiss", "length_s": 5.0, "processor_s": seconds}
        rows.append({"kind": "search", **about, **asked})
    lines = tables.sizing(rows).splitlines()[2:]
    assert lines[0] == "| mine | 10,000,000 | 694 | 0.160 | 0.180 | 0.300 | 0.240 | 0.110 | 1 |"
    assert lines[2] == "| mine | 1,000,000,000 | 69,444 | 16.0 | 18.0 | 30.0 | 24.0 | 10.0 | 34 |"
    assert len(tables.sizing(rows[:4]).splitlines()) == 2


def test_exponent_is_the_power_of_the_largest_sizes():
    sizes = 10.0 ** np.arange(5)
    assert growth_charts.exponent(sizes, 3 * sizes**0.7) == pytest.approx(0.7)
    costs = np.maximum(sizes, 100.0)
    assert growth_charts.exponent(sizes, costs) == pytest.approx(1.0)
    assert growth_charts.exponent([7.0], [1.0]) is None


def test_what_cannot_be_asked_is_refused(encoder_path, tracks):
    with pytest.raises(A2VError, match="give some, of different names"):
        growth.measure([encoder_path] * 2, tracks, seed=0)
    with pytest.raises(A2VError, match="give numbers from 1 on"):
        growth.measure([encoder_path], tracks, seed=0, sizes=[0])
    with pytest.raises(A2VError, match="no track in the catalogue is longer than 10 s"):
        growth.measure([encoder_path], tracks, seed=0, sizes=[20], queries=1)


def test_the_suite_publishes_what_it_measured(rows, tmp_path):
    head = {"kind": "run", "suite": "growth", "corpus": "tunes", "corpus_sha256": "0" * 64}
    head |= {"seed": 3, "commit": "none", "machine": "one"}
    lines = "".join(json.dumps(row) + "\n" for row in [head, *rows])
    (tmp_path / "answers.jsonl").write_text(lines)
    written = {path.name: path for path in suites.publish(tmp_path)}
    assert {"tables.md", "growth_tiny.svg", "report.html"} <= written.keys()
    page = text(growth.parts([head, *rows]))
    assert f"| tiny | {SIZE:,} |" in page and "seed 3" in page
