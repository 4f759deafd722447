"""Made-up answers of a retrieval run, as plausible as tables and figures need them."""

import math

import numpy as np

CONDITIONS = {  # how much harder than clean
    "clean": 0.0,
    "20 dB": 0.4,
    "15 dB": 0.8,
    "10 dB": 1.4,
    "5 dB": 2.4,
    "0 dB": 3.8,
    "-3 dB": 5.0,
    "room + 5 dB": 3.4,
    "-20 dB gain": 0.1,
    "+12 dB clipping": 0.9,
}
SKILL = {"conv128": 4.6, "lstm128": 1.6, "wang": 2.9, "haitsma_kalker": 2.4, "chance": -99.0}
LENGTHS_S = (1.0, 2.0, 3.0, 5.0, 6.0, 10.0)
TRACKS = 207


def rows(seed=0, *, conditions=tuple(CONDITIONS), systems=tuple(SKILL), queries=20):
    """All rows of an answers file: list of dicts."""
    generator = np.random.default_rng(seed)
    made = [
        {
            "kind": "run",
            "suite": "retrieval",
            "corpus": "made up",
            "corpus_sha256": "0123456789abcdef" * 4,
            "seed": seed,
            "commit": "abcdef123456",
            "versions": {"a2v": "0.2.0", "numpy": "1.26.4"},
            "machine": "x86_64, 2 cores",
            "tracks": TRACKS,
        }
    ]
    made += [_about(system) for system in systems]
    for length_s in LENGTHS_S:
        for split, asked in (("test", conditions), ("tune", conditions[:1])):
            for condition in asked:
                for query in range(queries if split == "test" else 100):
                    for system in systems:
                        row = _answer(generator, system, condition, length_s, query)
                        if split == "test" or not row["known"]:
                            made.append(row | {"split": split})
    return made


def _about(system):
    threshold = {"conv128": 1.7, "lstm128": {f"{s}": 2.0 for s in LENGTHS_S}}.get(system)
    return {
        "kind": "system",
        "system": system,
        "audio_s": 28000.0,
        "bytes": 64 * 28000,
        "threshold": threshold,
        "model_id": "1a2b",
    }


def _answer(generator, system, condition, length_s, query):
    known = query % 10 >= 3
    ease = SKILL[system] + 1.3 * math.log2(length_s) - CONDITIONS[condition]
    right = known and generator.random() < 1 / (1 + math.exp(-ease)) if ease > -50 else False
    start_s = float(generator.uniform(0, 100))
    error_s = generator.normal(0, 0.06) if generator.random() < 0.93 else generator.normal(0, 3)
    rank = 1 if right else int(generator.integers(2, 12)) if known else None
    return {
        "kind": "answer",
        "system": system,
        "query": query,
        "condition": condition,
        "length_s": length_s,
        "truth": f"track {query}",
        "known": known,
        "start_s": start_s,
        "answer": f"track {query}" if right else "another track",
        "offset_s": start_s + error_s if right else float(generator.uniform(0, 100)),
        "score": float(generator.normal(0.4 * ease + 2.5, 1.2) if right else generator.normal()),
        "rank": rank if rank is None or rank <= 10 else None,
        "ms": float(generator.gamma(9, 2 + 2 * length_s)),
    }


def text(parts):
    """The Markdown among the parts of a page."""
    return "\n".join(part for part in parts if isinstance(part, str))
