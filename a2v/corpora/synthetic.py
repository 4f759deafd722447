"""The synthetic corpus: invented works and covers of them, rendered from a seed."""

import io
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from a2v.audio import SAMPLE_RATE
from a2v.corpora import beats, manifest
from a2v.corpora.music import arrangements, ensembles, performances, scores
from a2v.corpora.track import Track
from a2v.errors import A2VError

TAIL_S = 1.5
MIN_SECONDS = 4.0
# Seven works in turn: 5/7 train, 1/7 tune, 1/7 test; three works already hold all three splits,
# and a work keeps its split whatever the size of the corpus.
SPLITS = ("train", "tune", "test", "train", "train", "train", "train")
# Then other bands play: a large corpus is as various in its sound as in its works.
WORKS_OF_A_SCENE = 60


class Plan(NamedTuple):
    """How one track departs from its score.

    `rubato` goes to `performances.clock`, `freedom` to `arrangements.arrange`; `from_theme` leaves
    out the introduction.
    """

    ensemble: ensembles.Ensemble
    transposition: int
    tempo_ratio: float
    rubato: float
    freedom: float
    from_theme: bool


def compose(out, *, works, covers, seconds, seed, overwrite=False, progress=None):
    """Composes and renders a corpus.

    Every track depends on (seed, work, cover) and `seconds` only: a corpus of more works or more
    covers holds the same bytes for it. On another processor, whose sines differ in the last bit,
    about one sample in a thousand differs by a few steps of 16 bits.

    Args:
        out: path of a folder; it gets `work-000/original.wav`, `work-000/cover-1.wav`, ... (mono,
            16 bit, 16 kHz, peak at -3 dBFS), a list of beats beside each (`corpora.beats`) and,
            when all are there, `manifest.csv`.
        works: int, compositions.
        covers: int, covers of each, besides the original.
        seconds: float, length of an original; covers differ in tempo and therefore in length.
        seed: int, 0 or more.
        overwrite: bool, replace an earlier corpus in the same folder.
        progress: callable of (tracks done, tracks in all, name of the next), or `None`.

    Returns:
        list of Track, as `manifest.read` returns them.

    Raises:
        A2VError: a number is out of range, the folder holds a corpus, or cannot be written.
    """
    for name, value, least in (
        ("works", works, 1),
        ("covers", covers, 0),
        ("seconds", seconds, MIN_SECONDS),
        ("seed", seed, 0),
    ):
        if not value >= least:
            raise A2VError(f"{name} {value}: use {least:g} or more")
    out = Path(out)
    parts = [(work, cover) for work in range(works) for cover in range(covers + 1)]
    tracks = []
    try:
        _clear(out, overwrite)
        for work, cover in parts:
            track = _track(out, seed, work, cover)
            if progress:
                progress(len(tracks), len(parts), track.track)
            _write(Path(track.path), render(seed, work, cover, seconds=seconds))
            beats.write(track.path, *played_beats(seed, work, cover, seconds=seconds))
            tracks.append(track)
    except OSError as error:
        raise A2VError(f"{error.filename or out}: cannot write ({error.strerror})") from error
    manifest.write(out / "manifest.csv", tracks)
    return tracks


def _clear(out, overwrite):
    """Makes the folder; takes an earlier corpus out of it, the manifest first."""
    old = [out / "manifest.csv", *sorted(out.glob("work-*/original.wav"))]
    old += sorted(out.glob("work-*/cover-*.wav")) + sorted(out.glob("work-*/*.beats.csv"))
    old = [path for path in old if path.exists()]
    if old and not overwrite:
        raise A2VError(f"{old[0]}: exists; choose another folder, or --overwrite to replace it")
    out.mkdir(parents=True, exist_ok=True)
    for path in old:
        path.unlink()


def _track(out, seed, work, cover):
    name = f"work-{work:03d}/" + (f"cover-{cover}" if cover else "original")
    band = plan(seed, work, cover).ensemble
    return Track(
        path=str(out / f"{name}.wav"),
        track=name,
        work=f"work-{work:03d}",
        artist=band.name,
        genre=band.style,
        split=SPLITS[work % len(SPLITS)],
    )


def _write(path, waveform):
    """Writes 16 bit; through memory, so that a full disk is an OSError with a name."""
    wav = io.BytesIO()
    samples = np.round(waveform * 32767).astype(np.int16)
    soundfile.write(wav, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav.getvalue())


def plan(seed, work, cover):
    """Decides who plays a track, and how.

    Args:
        seed: int, the corpus' seed.
        work: int, from 0.
        cover: int, 0 = the original.

    Returns:
        Plan. A cover is by an ensemble of another style than the original, in another key, and
        at least 7 % slower or faster.
    """
    bands = ensembles.found(seed, work // WORKS_OF_A_SCENE)
    generator = np.random.default_rng([seed, 2, work])
    styles = np.random.default_rng([seed, 3]).permutation(list(ensembles.STYLES))
    style = styles[work % len(styles)]
    original = [band for band in bands if band.style == style][generator.integers(3)]
    if cover == 0:
        return Plan(original, 0, 1.0, 0.01, 0.0, False)
    others = [band for band in bands if band.style != style]
    band = others[generator.permutation(len(others))[(cover - 1) % len(others)]]
    generator = np.random.default_rng([seed, 2, work, cover])
    ratio = generator.choice((generator.uniform(0.82, 0.93), generator.uniform(1.07, 1.22)))
    return Plan(
        ensemble=band,
        transposition=int(generator.choice((-5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6))),
        tempo_ratio=float(ratio),
        rubato=float(generator.uniform(0.02, 0.07)),
        freedom=float(generator.uniform(0.3, 0.9)),
        from_theme=bool(generator.random() < 0.5),
    )


def render(seed, work, cover, *, seconds):
    """Renders one track.

    Args:
        seed: int, the corpus' seed.
        work: int, from 0.
        cover: int, 0 = the original.
        seconds: float, length of the original; a cover is as much longer as it is slower.

    Returns:
        float32 [n] at `audio.SAMPLE_RATE`, peak at -3 dBFS.
    """
    how, score, generator = _prepared(seed, work, cover, seconds)
    events, time = _arranged(how, score, generator)
    return performances.perform(
        events, how.ensemble, generator, time=time, tail_s=TAIL_S, straight=score.metre == 6
    )


def played_beats(seed, work, cover, *, seconds):
    """Where the beats of the score lie in a track; arguments as for `render`.

    Returns:
        `(beats, seconds)`: float64 `[n]`, beats counted in the whole score, and where they fall.
    """
    how, score, generator = _prepared(seed, work, cover, seconds)
    _, time = _arranged(how, score, generator)
    played = np.arange(len(score.bars) * score.metre + 1)
    in_all = len(_invented(seed, work, seconds).bars)
    skipped = (in_all - len(score.bars)) * score.metre  # only the introduction is ever left out
    return skipped + played, np.interp(played, *time)


def _invented(seed, work, seconds):
    return scores.invent(np.random.default_rng([seed, 0, work]), seconds=seconds, tail_s=TAIL_S)


def _prepared(seed, work, cover, seconds):
    """The plan of a track, the score as it is played, and the generator of its details."""
    score, how = _invented(seed, work, seconds), plan(seed, work, cover)
    if how.from_theme:
        score = replace(score, bars=tuple(bar for bar in score.bars if bar.section != "intro"))
    return how, score, np.random.default_rng([seed, 4, work, cover])


def _arranged(how, score, generator):
    """Its events, and when each beat falls."""
    events = arrangements.arrange(
        score, how.ensemble, generator, transposition=how.transposition, freedom=how.freedom
    )
    time = performances.clock(
        len(score.bars) * score.metre,
        generator,
        tempo=score.tempo * how.tempo_ratio,
        rubato=how.rubato,
        phrase=4 * score.metre,
    )
    return events, time
