"""P7, sure answers: are false accepts as rare as is stated, and probabilities what they say?

Excerpts of test tracks, none of which a model or its calibration met, are asked of a catalogue
without their work; some of them also of one that holds it. Tracks are heard clean and under noise
and embedded once for each; an excerpt is hashed from a stretch of that.
"""

import numpy as np

from a2v import audio, calibration, chance, conditions, matching
from a2v.benchmarking.sure_tables import parts  # noqa: F401, what every suite has

LENGTHS_S = (1.0, 3.0, 5.0, 10.0)
NAMES = ("clean", "10 dB", "5 dB", "0 dB")
# Excerpts of each track, condition and length that no catalogue track holds; one of so many is also
# asked of a catalogue that does.
QUERIES, KNOWN_OF = 20, 4
TONE_HZ, HUM_HZ, HUM_PARTIALS = 440.0, 50.0, 8


def measure(encoders, tracks, *, seed, noises, queries=QUERIES, progress=None):
    """Asks every model.

    Args:
        encoders: list of `runtime.Encoder` of different names.
        tracks: list of corpora.Track; those of the split `test` are asked for, or all where there
            are none of it. All make the catalogue.
        seed: int; noises: list of float32 `[m]`; queries: int, see `QUERIES`.
        progress: function `(done, total)`, of tracks.

    Returns:
        list of dicts, rows of the answers file by kind: `answers`, of each model, length,
        condition, track and whether the catalogue holds it: `rates` (the false accepts that the
        best answer states), `probabilities`, and `right`, each a list; `sounds`, of what is no
        music.
    """
    asked = [track for track in tracks if track.split == "test"] or tracks
    rows, done, total = [], 0, len(encoders) * (len(tracks) + len(asked))
    for encoder in encoders:
        about = {"system": encoder.name, "model_id": encoder.model_id}
        codes = []
        for track in tracks:
            codes.append(encoder.hash(audio.load(track.path, downmix=encoder.downmix)))
            done += 1
            if progress:
                progress(done, total)
        held = dict(enumerate(codes))
        found = {}
        for track in asked:
            draw = np.random.default_rng([seed, 9, tracks.index(track)])
            for key, answer in _answers(encoder, held, tracks, track, draw, noises, queries):
                found.setdefault((*key, track.track), []).append(answer)
            done += 1
            if progress:
                progress(done, total)
        for (length_s, name, known, track), answers in sorted(found.items()):
            rates, probabilities, right = zip(*answers, strict=True)
            key = {"length_s": length_s, "condition": name, "known": known, "track": track}
            lists = {"rates": rates, "probabilities": probabilities, "right": right}
            rows.append({"kind": "answers", **about, **key, **lists})
        rows += [{"kind": "sounds", **about, **row} for row in _sounds(encoder, held)]
    return rows


def _answers(encoder, held, tracks, track, draw, noises, queries):
    """Yields ((length_s, condition, known), (rate, probability, right)) of one track."""
    waveform = audio.load(track.path, downmix=encoder.downmix)
    hop = round(encoder.hop_s * encoder.sample_rate)
    waveform = waveform[int(draw.integers(1, hop)) :]
    strange = {k: codes for k, codes in held.items() if tracks[k].work != track.work}
    catalogues = {True: calibration.catalogue(held), False: calibration.catalogue(strange)}
    works = {str(k): own.work for k, own in enumerate(tracks)}
    for name in NAMES:
        heard = {"noises": noises, "rooms": []}
        noisy = conditions.heard(waveform, 0, len(waveform), name, draw, **heard)
        for length_s in LENGTHS_S:
            length = round(length_s * encoder.sample_rate)
            last = encoder.windows(len(noisy)) - encoder.windows(length)
            for number in range(queries if length <= len(noisy) else 0):
                first = hop * int(draw.integers(last + 1))
                clip = noisy[first : first + length]
                prints = encoder.fingerprint(clip, phases=chance.PHASES)
                for known in (False, True) if number % KNOWN_OF == 0 else (False,):
                    best = matching.ask(encoder, *catalogues[known], prints, top=1)
                    # Another version of the work is what it is asked for.
                    yield (
                        (length_s, name, known),
                        (
                            float(f"{best[0].false_accepts:.4g}") if best else 1.0,
                            round(best[0].probability, 5) if best else 0.0,
                            bool(best) and works[best[0].track] == track.work,
                        ),
                    )


def _sounds(encoder, held):
    """Yields a row of each sound: what the best answers to it state."""
    catalogue = calibration.catalogue(held)
    for name, make in SOUNDS.items():
        rates = []
        for seed in range(10):
            for length_s in LENGTHS_S:
                draw = np.random.default_rng(seed)
                times = np.arange(round(length_s * encoder.sample_rate)) / encoder.sample_rate
                sound = make(times, draw).astype(np.float32)
                prints = encoder.fingerprint(sound, phases=chance.PHASES)
                best = matching.ask(encoder, *catalogue, prints, top=1)
                rates += [float(f"{match.false_accepts:.4g}") for match in best]
        yield {"sound": name, "rates": rates}


def _tone(times, draw):
    return 0.2 * np.sin(2 * np.pi * TONE_HZ * 2 ** draw.uniform(-1, 1) * times)


def _hum(times, draw):
    phases = draw.uniform(0, 2 * np.pi, HUM_PARTIALS)
    partials = np.arange(1, HUM_PARTIALS + 1)
    waves = np.sin(2 * np.pi * HUM_HZ * partials * times[:, None] + phases) / partials
    return 0.1 * waves.sum(axis=1) + 0.001 * draw.standard_normal(len(times))


SOUNDS = {
    "silence": lambda times, draw: 0 * times,
    "tone": _tone,
    "mains hum": _hum,
    "white noise": lambda times, draw: 0.1 * draw.standard_normal(len(times)),
}
