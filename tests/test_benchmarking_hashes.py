import base64
import json

import numpy as np
import pytest
from made_up import text
from matplotlib.figure import Figure

from a2v import audio, features, hashing, runtime
from a2v.benchmarking import embeddings, hash_charts, hash_tables, hashes, repeats, report
from a2v.corpora import Track
from a2v.errors import A2VError

NAMES = ("clean", "10 dB", "-20 dB gain")
QUIET = {"noises": [], "rooms": []}


@pytest.fixture(scope="module")
def encoder(encoder_path):
    return runtime.Encoder(encoder_path)


@pytest.fixture(scope="module")
def logmel(exported):
    """An encoder that says its input features are log-mel as they come, and another name."""
    layer = features.build("logmel")
    digest = features.digest(layer.definition())
    return runtime.Encoder(exported(name="other", digest=digest, span_samples=layer.span()))


@pytest.fixture(scope="module")
def tracks(melody, write_wav, tmp_path_factory):
    """Three tunes, the last of them twice, and one with silence in it."""
    folder = tmp_path_factory.mktemp("tunes")
    tunes = [melody(k, 9.0) for k in range(3)] + [melody(2, 9.0), melody(5, 9.0)]
    tunes[4][48000:96000] = 0
    return [
        Track(str(write_wav(folder / f"{k}.wav", tune)), f"{k}.wav", work=f"w{k % 3}", split="test")
        for k, tune in enumerate(tunes)
    ]


@pytest.fixture(scope="module")
def rows(encoder, logmel, tracks):
    sizes = {"windows": 25, "pairs": 200}
    made = hashes.measure([encoder, logmel], tracks, seed=3, names=NAMES, **sizes, **QUIET)
    return json.loads(json.dumps(made))


def of(rows, kind, system="tiny"):
    return [row for row in rows if row["kind"] == kind and row.get("system", system) == system]


def table(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


def made_up(codes, *, apart=None, recall=(1.0,), errors=None):
    """Rows of one model whose tracks have the hashes given: uint8 [tracks][n, bytes]."""
    n = len(codes)
    bits = 8 * codes[0].shape[1]
    pairs = {"features": apart, "embeddings": apart, "bits": apart}
    rows = [
        {"kind": "windows", "track": list("abcdefgh"[:n]), "start_s": [0.0] * n},
        {"kind": "model", "model_id": "m", "bits": bits, "features": "MFCC"},
        {"kind": "errors", "condition": "10 dB", "bits": errors or [0] * n},
        {"kind": "pairs", **pairs},
        {"kind": "neighbours", "among": 100, "recall": list(recall) * n},
    ]
    rows[0] |= {"first": [k for k in range(n) for _ in range(n - 1)]}
    rows[0] |= {"second": [j for k in range(n) for j in range(n) if j != k]}
    rows[3] |= {k: rows[3][k] or list(range(n * (n - 1))) for k in pairs}
    for name, own in zip("abcdefgh", codes, strict=False):
        text = base64.b64encode(own.tobytes()).decode()
        rows.append({"kind": "hashes", "track": name, "codes": text, "silent": []})
        halves = (2.0 * hashing.unpack(own) - 1).astype(np.float16)
        text = base64.b64encode(halves.tobytes()).decode()
        rows.append({"kind": "originals", "work": name, "embeddings": text})
    return [row | {"system": "made up"} for row in rows]


@pytest.fixture
def coins():
    generator = np.random.default_rng(0)
    return list(generator.integers(0, 256, (4, 3000, 16), dtype=np.uint8))


def test_hashes_of_a_run_are_those_of_the_encoder(rows, encoder, tracks):
    for row, track in zip(of(rows, "hashes"), tracks, strict=True):
        waveform = audio.load(track.path)
        codes = encoder.hash(waveform)
        assert row["track"] == track.track
        assert base64.b64decode(row["codes"]) == codes.tobytes()
        assert row["silent"] == np.flatnonzero(~encoder.audible(waveform)).tolist()


def test_silence_is_counted_apart(rows, encoder, tracks):
    silent = len(of(rows, "hashes")[4]["silent"])
    assert silent >= 8
    everything = sum(encoder.windows(len(audio.load(track.path))) for track in tracks)
    found = table(hash_tables.sections(rows)[0])["tiny"]
    assert (found["silent"], found["windows"]) == (str(silent), str(everything - silent))


def test_windows_drawn_are_audible_and_shared_by_all_models(rows, tracks):
    drawn = of(rows, "windows")
    assert len(drawn) == 1 and len(drawn[0]["track"]) == 25
    paths = {track.track: track.path for track in tracks}
    for name, start_s in zip(drawn[0]["track"], drawn[0]["start_s"], strict=True):
        start = round(start_s * audio.SAMPLE_RATE)
        window = audio.load(paths[name])[start : start + 16240]
        assert len(window) == 16240 and audio.level_dbfs(window) > audio.SILENCE_DBFS


def test_bit_errors_of_clean_copies_are_none(rows):
    for system in ("tiny", "other"):
        for row in of(rows, "errors", system):
            assert len(row["bits"]) == 25
            assert (sum(row["bits"]) == 0) == (row["condition"] == "clean"), row["condition"]


def test_bit_errors_are_those_of_copies_heard_alone(rows, encoder, tracks):
    from a2v import conditions

    waveform = audio.load(tracks[0].path)
    drawn = of(rows, "windows")[0]
    start = round(drawn["start_s"][1] * audio.SAMPLE_RATE)
    assert drawn["track"][1] == tracks[0].track
    draw = np.random.default_rng([3, 5, 0, 1])
    copy = conditions.heard(waveform, start, 16240, "10 dB", draw, **QUIET)
    pair = [encoder.hash(sound)[0] for sound in (waveform[start : start + 16240], copy)]
    found = next(row for row in of(rows, "errors") if row["condition"] == "10 dB")
    assert found["bits"][1] == hashing.hamming(*pair)


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_each_embeds_as_the_window_alone(encoder, melody, count):
    excerpts = np.array([melody(k, 1.25) for k in range(count)]).reshape(count, 20000)
    found = embeddings.each(encoder, excerpts)
    assert found.shape == (count, 64)
    for excerpt, embedding in zip(excerpts, found, strict=True):
        np.testing.assert_allclose(embedding, encoder.embed(excerpt)[0], atol=1e-4)


def test_identical_tracks_collide_across(encoder, tracks):
    sizes = {"windows": 4, "pairs": 9, "names": ("clean",)}
    twice = hashes.measure([encoder], [tracks[2], tracks[3]], seed=0, **sizes, **QUIET)
    found = table(hash_tables.sections(twice)[0])["tiny"]
    assert found["distinct"] == "50.00"
    assert found["across tracks"] == found["collisions"] and found["collisions"].startswith("50.00")
    assert found["within a track"].startswith("0.00")


def test_a_loop_collides_with_itself_alone(encoder, melody, write_wav, tmp_path):
    loop = np.tile(melody(7, 4.0), 3)
    tracks = [
        Track(str(write_wav(tmp_path / f"{name}.wav", sound)), name, split="test")
        for name, sound in (("loop", loop), ("tune", melody(8, 4.0)))
    ]
    sizes = {"windows": 4, "pairs": 9, "names": ("clean",)}
    made = hashes.measure([encoder], tracks, seed=0, **sizes, **QUIET)
    found = table(hash_tables.sections(made)[0])["tiny"]
    assert float(found["within a track"].split()[0]) > 40
    assert found["but repeats"].startswith("0.00")
    del of(made, "hashes")[1]["repeats"]  # as of runs before they were counted
    assert table(hash_tables.sections(made)[0])["tiny"]["but repeats"] == "–"


@pytest.mark.parametrize("gap", [0, 1600, 3000])
def test_windows_of_one_hash_repeat_if_they_sound_alike(gap, encoder, melody):
    one, other = melody(1, 2.0), melody(2, 2.0)
    sound = np.concatenate([one, other, np.zeros(gap, np.float32), 0.5 * one])
    n = encoder.windows(len(sound))
    all_alike, audible = np.zeros((n, 8), np.uint8), np.zeros(n, bool)
    audible[[0, 8, 16]] = True  # where each of the three begins, but for the gap
    assert repeats.count(sound, all_alike, audible, encoder) == (gap <= 2000)
    burst = np.where(np.arange(len(sound)) % 32000 < 1500, sound, 0)  # then digital silence
    burst[:32000] = sound[:32000]
    assert repeats.count(burst, all_alike, audible, encoder) == 0
    each_another = np.arange(8 * n, dtype=np.uint8).reshape(n, 8)
    assert repeats.count(sound, each_another, audible, encoder) == 0


def test_tables_of_fair_coins_are_ideal(coins):
    rows = made_up(coins)
    found = table(hash_tables.sections(rows)[1])["made up"]
    assert float(found["entropy"]) > 0.999 and float(found["lowest entropy"]) > 0.995
    assert float(found["largest correlation"]) < 0.05
    assert float(found["degrees of freedom"]) == pytest.approx(128, rel=0.03)
    assert table(hash_tables.sections(rows)[0])["made up"]["distinct"] == "100.00"


def test_tables_do_not_depend_on_the_order_of_windows(coins):
    generator = np.random.default_rng(1)
    coins[0][:900] = coins[1][:900]
    coins[2][:100] = coins[2][100:200]
    shuffled = [own[generator.permutation(len(own))] for own in coins]
    assert hash_tables.sections(made_up(coins)) == hash_tables.sections(made_up(shuffled))


def test_spearman_is_one_for_any_rising_relation(coins):
    rows = made_up(coins)
    pairs = next(row for row in rows if row["kind"] == "pairs")
    bits = np.random.default_rng(0).permutation(len(pairs["bits"])).astype(float)
    pairs |= {"bits": bits.tolist(), "features": np.exp(bits).tolist()}
    pairs |= {"embeddings": (-(bits**3)).tolist()}
    found = table(hash_tables.sections(rows)[3])["made up"]
    assert found["features and hashes"] == "1.000 ± 0.000"
    assert found["embeddings and hashes"] == "-1.000 ± 0.000"


def test_a_correlation_that_is_undefined_is_not_given(coins):
    rows = made_up(coins)
    next(row for row in rows if row["kind"] == "pairs")["bits"] = [5] * 12
    found = table(hash_tables.sections(rows)[3])["made up"]
    assert found["features and hashes"] == "–"


def test_neighbours_are_those_of_a_plain_search(rows, encoder, tracks):
    drawn, found = of(rows, "windows")[0], of(rows, "neighbours")[0]
    sounds = [audio.load(track.path) for track in tracks]
    starts = [0.25 * np.flatnonzero(encoder.audible(sound)) for sound in sounds]
    grid = [encoder.embed(sound)[encoder.audible(sound)] for sound in sounds]
    assert found["among"] == sum(map(len, grid))
    own = tracks.index(next(t for t in tracks if t.track == drawn["track"][7]))
    start = round(drawn["start_s"][7] * audio.SAMPLE_RATE)
    query = encoder.embed(sounds[own][start : start + 16240])[0]
    apart = [k != own or abs(s - drawn["start_s"][7]) >= 1 for k in range(5) for s in starts[k]]
    kept = np.concatenate(grid)[apart]
    exact = np.linalg.norm(kept - query, axis=1)
    bits = np.count_nonzero((kept > 0) != (query > 0), axis=1)
    expected = hashing.recall(exact[None], bits[None])[0]
    assert found["recall"][7] == pytest.approx(expected, abs=1e-4)


def test_feature_distances_are_given_where_the_features_are_known(rows, tracks):
    assert of(rows, "pairs")[0]["features"] is None and of(rows, "model")[0]["features"] is None
    drawn, pairs = of(rows, "windows")[0], of(rows, "pairs", "other")[0]
    paths, layer = {track.track: track.path for track in tracks}, features.build("logmel")
    ends = []
    for window in (drawn["first"][0], drawn["second"][0]):
        start = round(drawn["start_s"][window] * audio.SAMPLE_RATE)
        sound = audio.load(paths[drawn["track"][window]])
        ends.append(np.asarray(layer(sound[start : start + layer.span()])))
    assert ends[0].shape == (100, 128)
    assert pairs["features"][0] == pytest.approx(np.linalg.norm(ends[0] - ends[1]), rel=1e-3)
    found = table(hash_tables.sections(rows)[3])
    assert found["tiny"]["features and hashes"] == "–" and found["other"]["features"] == "LogMel"


def test_originals_are_embeddings_of_their_tracks(rows, encoder, tracks):
    values, works = hash_tables.originals(rows, "tiny")
    assert sorted(set(works)) == ["w0", "w1", "w2"] and len(values) == len(works)
    first = audio.load(tracks[0].path)
    own = encoder.embed(first)[encoder.audible(first)]
    assert len(own) > 30  # so that they are thinned out
    np.testing.assert_allclose(values[[0, 29]], own[[0, -1]], rtol=1e-3, atol=1e-3)


def test_two_models_of_the_same_weights_measure_alike(rows):
    for kind in ("hashes", "errors", "neighbours", "originals"):
        drop = ("system", "features")
        first, second = (
            [{k: v for k, v in row.items() if k not in drop} for row in of(rows, kind, system)]
            for system in ("tiny", "other")
        )
        assert first == second


def test_measure_repeats_itself(rows, encoder, logmel, tracks):
    seen = []
    again = hashes.measure(
        [encoder, logmel],
        tracks,
        seed=3,
        names=NAMES,
        windows=25,
        pairs=200,
        progress=lambda *step: seen.append(step),
        **QUIET,
    )
    assert again == rows
    assert seen == [(k, 5) for k in range(1, 6)]


def test_intervals_leave_out_one_track_at_a_time(coins):
    rows = made_up(coins, errors=[10, 12, 20, 6])
    _, systems = hash_tables.error_rates(rows)
    (rate,), (half,) = systems["made up"]
    shares = np.array([10, 12, 20, 6]) / 128 * 100
    assert rate == pytest.approx(12 / 128 * 100)
    # For a mean, the jackknife gives the standard error of the mean itself.
    assert half == pytest.approx(1.96 * shares.std(ddof=1) / 2)


def test_a_page_comes_from_the_rows_alone(rows, tmp_path):
    parts = hashes.parts(rows)
    drawn = [part for part in parts if isinstance(part, report.Picture)]
    assert len(drawn) == 2 + 3 * 2
    assert all(isinstance(part.draw(), Figure) and part.caption for part in drawn)
    tables, *figures, page = report.write(tmp_path, title="hashes", parts=parts)
    assert page.read_text(encoding="utf-8").count("<img") == len(figures) == len(drawn)
    shown = tables.read_text(encoding="utf-8")
    assert all(f"]({file.name})" in shown and file.stat().st_size for file in figures)


def test_the_sample_is_what_the_layer_hears(rows, tracks):
    (row,) = of(rows, "sample")
    values = np.frombuffer(base64.b64decode(row["mfcc"]), np.float16).reshape(-1, row["n_mfcc"])
    path = next(track.path for track in tracks if track.track == row["track"])
    heard = audio.load(path)[round(row["start_s"] * 16000) :][: hashes.SAMPLE_S * 16000]
    expected = np.asarray(features.build("mfcc")(heard[None]))[0]
    np.testing.assert_allclose(values, expected, atol=0.02)


def test_page_says_what_it_is_of(rows):
    run = {"kind": "run", "corpus": "tunes", "corpus_sha256": "f" * 64, "seed": 3, "commit": "c0"}
    page = text(hashes.parts([run | {"versions": {"a2v": "1"}, "machine": "m"}, *rows]))
    assert "Corpus tunes (SHA-256 ffffffffffff, seed 3), 5 tracks" in page


def test_figure_of_bit_errors_draws_the_rates(rows):
    names, systems = hash_tables.error_rates(rows)
    axis = hash_charts.bit_errors(names, systems).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()][2] == "\u221220 dB gain"
    for drawn, (rates, _) in zip(axis.containers, systems.values(), strict=True):
        np.testing.assert_allclose(drawn.lines[0].get_xdata(), rates)


def test_figure_of_embeddings_shows_the_plane_of_the_largest_variances():
    values = np.zeros((60, 8))
    values[:, [5, 2]] = np.random.default_rng(0).normal(size=(60, 2)) * [9, 3]
    axis = hash_charts.principal_components(values + 100, ["a", "b"] * 30).axes[0]
    points = np.concatenate([np.asarray(drawn.get_offsets()) for drawn in axis.collections])
    shown, expected = (
        np.sort(np.linalg.norm(p - p.mean(axis=0), axis=1)) for p in (points, values)
    )
    np.testing.assert_allclose(shown, expected, atol=1e-4)
    assert points[:, 0].var() > 4 * points[:, 1].var()


@pytest.mark.parametrize("models", [0, 2])
def test_measure_refuses_models_that_tables_cannot_tell_apart(encoder, tracks, models):
    with pytest.raises(A2VError, match="different names"):
        hashes.measure([encoder] * models, tracks, seed=0, **QUIET)


def test_measure_refuses_silence(encoder, write_wav, tmp_path):
    path = write_wav(tmp_path / "s.wav", np.zeros(64000, np.float32))
    with pytest.raises(A2VError, match="0 windows drawn"):
        hashes.measure([encoder], [Track(str(path), "s")], seed=0, names=("clean",), **QUIET)


def test_a_silent_track_and_a_short_one_take_nothing_away(logmel, tracks, write_wav, tmp_path):
    silent = write_wav(tmp_path / "silent.wav", np.zeros(64000, np.float32))
    short = write_wav(tmp_path / "short.wav", np.full(8000, 0.1, np.float32))
    more = [Track(str(silent), "silent", work="s"), Track(str(short), "short", work="t")]
    sizes = {"windows": 20, "pairs": 50, "names": ("10 dB",)}
    made = hashes.measure([logmel], [*tracks[:2], *more], seed=0, **sizes, **QUIET)
    assert [row["track"] for row in of(made, "hashes", "other")] == ["0.wav", "1.wav", "silent"]
    assert set(of(made, "windows")[0]["track"]) == {"0.wav", "1.wav"}
    found = table(hash_tables.sections(made)[0])["other"]
    assert found["silent"] == "13"
    assert len([part for part in hashes.parts(made) if not isinstance(part, str)]) == 5
