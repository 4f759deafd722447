import numpy as np
import pytest
import soundfile

from a2v import cli
from a2v.audio import SAMPLE_RATE
from a2v.corpora import manifest, synthetic, tracks
from a2v.corpora.music import ensembles, scores
from a2v.errors import A2VError

WORKS, COVERS, SECONDS, SEED = 8, 2, 12.0, 0


def power(waveform, size, hop):
    """Power spectra under a Hann taper; [frames, bins]."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=-1)) ** 2


def chroma(waveform, size=4096, hop=1600):
    """Magnitude by pitch class, C first; [frames, 12]."""
    spectra = np.sqrt(power(waveform, size, hop))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    heard = (hertz > 60) & (hertz < 1500)
    classes = np.round(12 * np.log2(hertz[heard] / 440) + 69).astype(int) % 12
    return np.stack([spectra[:, heard][:, classes == c].sum(axis=-1) for c in range(12)], axis=-1)


def pooled(frames, count):
    """Means of `count` equal stretches, normalised; [count, 12]."""
    edges = np.linspace(0, len(frames), count + 1).astype(int)
    means = np.stack([frames[a:b].mean(axis=0) for a, b in zip(edges, edges[1:], strict=False)])
    return means / np.linalg.norm(means, axis=-1, keepdims=True)


def warped(queries, references):
    """Cost of aligning chroma by dynamic time warping, either's beginning left out; [pairs]."""
    cost = 1 - np.einsum("pik,pjk->pij", queries, references)
    n = cost.shape[1]
    total = np.full((len(cost), n + 1, n + 1), np.inf)
    total[:, 0, : n // 3] = total[:, : n // 3, 0] = 0
    for i in range(1, n + 1):
        for j in range(max(1, i - n // 3), min(n, i + n // 3) + 1):
            aside = np.minimum(total[:, i - 1, j], total[:, i, j - 1]) + 0.1
            total[:, i, j] = cost[:, i - 1, j - 1] + np.minimum(aside, total[:, i - 1, j - 1])
    return total[:, n, n] / n


def timbre(waveform):
    """Mean of 13 MFCCs, the loudness coefficient left out; [12]."""
    points = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28) / 2595) - 1)
    hertz = np.fft.rfftfreq(512, 1 / SAMPLE_RATE)
    bands = [
        np.clip(np.minimum((hertz - a) / (b - a), (c - hertz) / (c - b)), 0, None)
        for a, b, c in zip(points, points[1:], points[2:], strict=False)
    ]
    logs = np.log(power(waveform, 512, 160) @ np.array(bands).T + 1e-8)
    order = np.arange(1, 13)[:, None] * (np.arange(26) + 0.5) * np.pi / 26
    return logs.mean(axis=0) @ np.cos(order).T


@pytest.fixture(scope="module")
def corpus():
    """Waveforms by (work, cover)."""
    return {
        (work, cover): synthetic.render(SEED, work, cover, seconds=SECONDS)
        for work in range(WORKS)
        for cover in range(COVERS + 1)
    }


@pytest.fixture(scope="module")
def alignment(corpus):
    """Costs [queries, works] of every cover against every original, and the best rotations."""
    parts = {key: pooled(chroma(waveform), 60) for key, waveform in corpus.items()}
    queries = np.stack([parts[key] for key in corpus if key[1]])
    costs = np.empty((12, len(queries), WORKS))
    for work in range(WORKS):
        reference = np.broadcast_to(parts[work, 0], queries.shape)
        for rotation in range(12):
            costs[rotation, :, work] = warped(np.roll(queries, -rotation, axis=-1), reference)
    return costs.min(axis=0), costs.argmin(axis=0)


TRUTH = np.repeat(np.arange(WORKS), COVERS)


def test_covers_are_told_apart_by_harmony_and_melody_in_any_key(alignment):
    costs, _ = alignment
    # Chance is 1/8; eight seeds gave 0.75 to 0.94.
    assert np.mean(costs.argmin(axis=-1) == TRUTH) >= 0.6


def test_covers_are_not_told_apart_by_timbre(corpus):
    means = np.stack([timbre(waveform) for waveform in corpus.values()])
    means = (means - means.mean(axis=0)) / means.std(axis=0)
    cover = np.array([key[1] for key in corpus])
    apart = np.linalg.norm(means[cover > 0][:, None] - means[cover == 0], axis=-1)
    ranks = 1 + (apart < apart[np.arange(len(TRUTH)), TRUTH][:, None]).sum(axis=-1)
    # Chance: 1/8 of 16 in the first place, mean rank 4.5 with a standard error of 0.57.
    assert np.mean(ranks == 1) <= 5 / 16
    assert ranks.mean() == pytest.approx((WORKS + 1) / 2, abs=1.2)


def test_covers_sound_in_the_key_they_were_transposed_to(alignment):
    _, rotations = alignment
    asked = [
        synthetic.plan(SEED, work, cover).transposition % 12
        for work in range(WORKS)
        for cover in range(1, COVERS + 1)
    ]
    measured = rotations[np.arange(len(TRUTH)), TRUTH]
    assert 0 not in asked
    assert np.mean(measured == asked) >= 0.75


def test_covers_play_at_the_tempo_asked_for(corpus):
    whole = 0
    for (work, cover), waveform in corpus.items():
        how = synthetic.plan(SEED, work, cover)
        if cover and not how.from_theme:
            whole += 1
            lasted = len(waveform) / SAMPLE_RATE - synthetic.TAIL_S
            assert (SECONDS - synthetic.TAIL_S) / lasted == pytest.approx(how.tempo_ratio, 1e-3)
            assert abs(np.log(how.tempo_ratio)) > 0.065
    assert whole


def test_covers_are_played_by_bands_of_another_style():
    for work in range(30):
        played = [synthetic.plan(SEED, work, cover).ensemble for cover in range(4)]
        assert played[0].style not in {band.style for band in played[1:]}
        assert len({band.name for band in played}) == 4


def test_works_keep_to_their_key(corpus):
    for work in range(WORKS):
        generator = np.random.default_rng([SEED, 0, work])
        score = scores.invent(generator, seconds=SECONDS, tail_s=synthetic.TAIL_S)
        scale = [(score.tonic + step) % 12 for step in (*scores.SCALES[score.mode], 11)]
        heard = np.square(chroma(corpus[work, 0])).sum(axis=0)
        assert heard[sorted(set(scale))].sum() > 0.8 * heard.sum()


@pytest.mark.parametrize("work", range(4))
def test_five_seconds_under_noise_tell_their_place_in_the_work(work):
    whole = synthetic.render(SEED, work, 0, seconds=30)
    generator = np.random.default_rng(work)

    def shape(waveform):
        logs = np.log(power(waveform, 1024, 800)[:, 2:80] + 1e-3)
        return logs - logs.mean(axis=-1, keepdims=True)

    reference = shape(whole)
    for offset_s in generator.uniform(0, 24, size=5):
        start = int(offset_s * SAMPLE_RATE)
        excerpt = whole[start : start + 5 * SAMPLE_RATE]
        noise = generator.standard_normal(len(excerpt), dtype=np.float32)
        query = shape(excerpt + noise * np.sqrt(0.1 * np.mean(excerpt**2)))
        stretches = np.lib.stride_tricks.sliding_window_view(reference, query.shape)[:, 0]
        alike = np.einsum("nij,ij->n", stretches, query) / np.linalg.norm(stretches, axis=(1, 2))
        alike = alike / np.linalg.norm(query)
        near = np.abs(np.arange(len(alike)) * 0.05 - offset_s) < 0.5
        assert alike[near].max() > alike[~near].max() + 0.05


def test_render_lasts_as_asked_and_peaks_at_minus_3_dbfs(corpus):
    for (_, cover), waveform in corpus.items():
        assert waveform.dtype == np.float32
        assert np.abs(waveform).max() == pytest.approx(10 ** (-3 / 20), rel=1e-4)
        if cover == 0:
            assert len(waveform) == SECONDS * SAMPLE_RATE


@pytest.mark.parametrize("seconds", (synthetic.MIN_SECONDS, 7.3, 61))
def test_render_takes_any_length(seconds):
    waveform = synthetic.render(3, 1, 0, seconds=seconds)
    assert len(waveform) == round(seconds * SAMPLE_RATE)
    assert np.isfinite(waveform).all()


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus") / "deep" / "corpus"
    return out, synthetic.compose(out, works=3, covers=1, seconds=4, seed=5)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.wav")}


def test_compose_gives_the_same_bytes_for_the_same_seed(composed, tmp_path):
    out, _ = composed
    synthetic.compose(tmp_path / "again", works=3, covers=1, seconds=4, seed=5)
    assert contents(tmp_path / "again") == contents(out)
    assert (tmp_path / "again/manifest.csv").read_bytes() == (out / "manifest.csv").read_bytes()


def test_compose_keeps_a_track_whatever_the_size_of_the_corpus(composed, tmp_path):
    synthetic.compose(tmp_path, works=2, covers=2, seconds=4.0, seed=5)
    fewer, more = contents(composed[0]), contents(tmp_path)
    shared = fewer.keys() & more.keys()
    assert len(shared) == 4
    assert all(fewer[name] == more[name] for name in shared)


def test_compose_hears_another_seed(composed, tmp_path):
    synthetic.compose(tmp_path, works=1, covers=0, seconds=4, seed=6)
    name = "work-000/original.wav"
    assert contents(tmp_path)[name] != contents(composed[0])[name]


def test_compose_writes_16_bit_mono_wav_at_16_khz(composed):
    for path in composed[0].rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


def test_compose_returns_what_its_manifest_reads(composed):
    out, made = composed
    assert manifest.read(out / "manifest.csv") == made == tracks([out / "manifest.csv"])
    assert [track.track for track in made[:3]] == [
        "work-000/original",
        "work-000/cover-1",
        "work-001/original",
    ]
    assert {track.work for track in made} == {"work-000", "work-001", "work-002"}
    assert {track.genre for track in made} <= ensembles.STYLES.keys()
    assert all(track.artist for track in made)


def test_splits_are_by_work_and_none_is_empty(composed):
    splits = {track.work: track.split for track in composed[1]}
    assert set(splits.values()) == {"train", "tune", "test"}
    assert all(track.split == splits[track.work] for track in composed[1])
    many = [synthetic.SPLITS[work % len(synthetic.SPLITS)] for work in range(60)]
    assert many.count("train") == pytest.approx(42, abs=2)
    assert many.count("tune") == many.count("test") == 9


def test_compose_replaces_only_when_told(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    synthetic.compose(tmp_path, works=2, covers=1, seconds=4, seed=0)
    with pytest.raises(A2VError, match="manifest.csv: exists; choose another folder, or --overw"):
        synthetic.compose(tmp_path, works=1, covers=0, seconds=4, seed=0)
    synthetic.compose(tmp_path, works=1, covers=0, seconds=4, seed=0, overwrite=True)
    assert list(contents(tmp_path)) == ["work-000/original.wav"]
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    (
        ({"works": 0}, "works 0: use 1 or more"),
        ({"covers": -1}, "covers -1: use 0 or more"),
        ({"seconds": 3.5}, "seconds 3.5: use 4 or more"),
        ({"seconds": float("nan")}, "seconds nan: use 4 or more"),
        ({"seed": -2}, "seed -2: use 0 or more"),
    ),
)
def test_compose_names_the_number_out_of_range(tmp_path, wrong, sentence):
    numbers = {"works": 1, "covers": 0, "seconds": 4, "seed": 0} | wrong
    with pytest.raises(A2VError, match=sentence):
        synthetic.compose(tmp_path / "out", **numbers)
    assert not (tmp_path / "out").exists()


def test_compose_names_a_place_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(A2VError, match=r"file.*: cannot write \(Not a directory\)"):
        synthetic.compose(tmp_path / "file/out", works=1, covers=0, seconds=4, seed=0)


def test_synthesize_prints_the_manifest_and_refuses_to_repeat(tmp_path, capsys):
    command = [str(tmp_path / "out"), "--works", "1", "--covers", "0", "--seconds", "4"]
    assert cli.run("synthesize", command) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out' / 'manifest.csv'}\n"
    assert "1 tracks of 1 works" in said.err
    assert cli.run("synthesize", command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("a2v-synthesize: ")
    assert cli.run("synthesize", [*command, "--overwrite"]) == 0


def test_other_bands_play_in_a_later_scene():
    last, first = synthetic.WORKS_OF_A_SCENE - 1, synthetic.WORKS_OF_A_SCENE
    early, late = ensembles.found(5), ensembles.found(5, 1)
    assert len({band.name for band in (*early, *late)}) == len(early) + len(late)
    assert all(synthetic.plan(5, last, cover).ensemble in early for cover in range(3))
    assert all(synthetic.plan(5, first, cover).ensemble in late for cover in range(3))
