import json
import shutil

import numpy as np
import pytest

from a2v import audio, resources
from a2v.benchmarking import external, retrieval, runner, systems
from a2v.corpora import Track
from a2v.errors import A2VError

NAMES = ("clean", "10 dB")


@pytest.fixture(scope="module")
def tracks(melody, write_wav, tmp_path_factory):
    """Ten works: four to train, two to tune, four to test."""
    folder = tmp_path_factory.mktemp("tunes")
    splits = ["train"] * 4 + ["tune"] * 2 + ["test"] * 4
    return [
        Track(str(write_wav(folder / f"{k}.wav", melody(k, 14.0))), f"{k}.wav", split=split)
        for k, split in enumerate(splits)
    ]


@pytest.fixture(scope="module")
def parts(tracks):
    return retrieval.parted(tracks, 0)


def planned(parts, **options):
    return retrieval.tasks(*parts, **{"queries": 10, "lengths_s": [2.0], "names": NAMES} | options)


def opened(name, catalogue, folder):
    system = systems.create(name)
    systems.indexed(system, catalogue, folder)
    return system


def test_parts_are_disjoint_by_work_and_keep_the_train_split(tracks, parts):
    catalogue, unknown = parts
    assert sorted(t.track for t in catalogue + unknown) == sorted(t.track for t in tracks)
    assert not {t.work for t in catalogue} & {t.work for t in unknown}
    assert {t.split for t in unknown} == {"tune", "test"}


def test_three_of_ten_queries_are_out_of_the_catalogue(parts):
    names = {track.track for track in parts[0]}
    for queries in (10, 20, 60):
        test = [task for task in planned(parts, queries=queries) if task.split == "test"]
        assert len(test) == queries
        assert sum(not task.known for task in test) == 3 * queries // 10
        assert all((task.track in names) == task.known for task in test)


def test_thresholds_are_set_on_unknown_tracks_of_the_tune_split_alone(tracks, parts):
    tune = [task for task in planned(parts) if task.split == "tune"]
    splits = {track.track: track.split for track in tracks}
    assert len(tune) == retrieval.TUNE_QUERIES
    assert all(splits[task.track] == "tune" and not task.known for task in tune)


def test_every_track_has_its_turn(parts):
    known = [task.track for task in planned(parts, queries=40) if task.known]
    counts = np.unique(known, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1


class Echo:
    """A system that keeps what it was asked and says what it was told to."""

    name = "echo"

    def __init__(self, answers=()):
        self.heard, self._answers = [], list(answers)

    def query(self, waveform):
        self.heard.append(waveform)
        return self._answers


def test_all_systems_hear_the_same_samples_and_order_changes_nothing(parts):
    tasks = planned(parts)[:3]
    first, second = Echo(), Echo()
    for task in tasks:
        retrieval.answered(task, [first, second], 0, noises=[], rooms=[])
    assert all(np.array_equal(a, b) for a, b in zip(first.heard, second.heard, strict=True))
    later = Echo()
    for task in reversed(tasks):
        retrieval.answered(task, [later], 0, noises=[], rooms=[])
    assert np.array_equal(first.heard[-2], later.heard[0])


def test_a_clean_query_is_the_tracks_own_samples_at_the_time_told(parts):
    echo, task = Echo(), planned(parts)[5]
    row = retrieval.answered(task, [echo], 0, noises=[], rooms=[])[0]
    start = round(row["start_s"] * audio.SAMPLE_RATE)
    own = audio.load(task.path)[start : start + 2 * audio.SAMPLE_RATE]
    assert row["condition"] == "clean"
    assert np.array_equal(echo.heard[0], own)


def test_rank_is_the_place_of_the_right_track(parts):
    task = next(t for t in planned(parts) if t.known)
    answers = [
        systems.Answer("other", 1.0, 5.0),
        systems.Answer(task.track, 2.0, 4.0),
    ]
    row = retrieval.answered(task, [Echo(answers)], 0, noises=[], rooms=[])[0]
    assert (row["answer"], row["offset_s"], row["score"], row["rank"]) == ("other", 1.0, 5.0, 2)
    silent = retrieval.answered(task, [Echo()], 0, noises=[], rooms=[])[0]
    assert silent["answer"] is silent["rank"] is silent["score"] is None


@pytest.mark.parametrize("name", ["wang", "haitsma_kalker", "zoo"])
def test_each_system_finds_clean_clips_at_their_place(name, parts, encoder_path, tmp_path):
    system = opened(str(encoder_path) if name == "zoo" else name, parts[0], tmp_path / "index")
    tasks = [task for task in planned(parts, lengths_s=[5.0], names=("clean",)) if task.known]
    rows = [retrieval.answered(t, [system], 0, noises=[], rooms=[])[0] for t in tasks]
    assert all(row["rank"] == 1 for row in rows)
    assert max(abs(row["offset_s"] - row["start_s"]) for row in rows) < 0.2
    assert system.n_bytes() > 0


def test_chance_is_right_as_often_as_chance_would_have_it(parts, tmp_path):
    system = opened("chance", parts[0], tmp_path / "index")
    generator = np.random.default_rng(0)
    first = [system.query(generator.standard_normal(100))[0].track for _ in range(800)]
    shares = np.unique(first, return_counts=True)[1] / 800
    assert len(shares) == len(parts[0])
    assert np.abs(shares - 1 / len(parts[0])).max() < 0.06


def test_a_shipped_models_threshold_is_that_of_the_command(parts, tmp_path):
    system = opened(resources.DEFAULT_MODEL, parts[0][:2], tmp_path / "index")
    waveform = audio.load(parts[0][0].path)[: 3 * audio.SAMPLE_RATE]
    accepted = system._library.identify(waveform, top=9)
    above = [answer for answer in system.query(waveform) if answer.score >= system.threshold()]
    assert [answer.track for answer in above] == [match.track for match in accepted] != []


def run(parts, out, names, **options):
    head = {"suite": "retrieval", "seed": 0}
    settings = {"head": head, "noise": [], "rooms": [], "jobs": 1, **options}
    tasks = planned(parts)[:4]
    return runner.run(out, names, parts[0], tasks, retrieval.answered, **settings)


def without_times(rows):
    return [{k: v for k, v in row.items() if k != "ms"} for row in rows]


def test_a_killed_run_goes_on_and_ends_in_the_same_answers(parts, tmp_path):
    whole = run(parts, tmp_path / "whole", ["wang", "chance"])
    assert [row["kind"] for row in whole[:3]] == ["run", "system", "system"]
    assert len(whole) == 3 + 4 * len(NAMES) * 2

    def killed(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(parts, tmp_path / "killed", ["wang", "chance"], progress=killed)
    progress = tmp_path / "killed" / runner.PROGRESS
    with open(progress, "a") as file:
        file.write('{"task": 3, "ro')  # cut off in the middle of a line
    counts = []
    again = run(
        parts, tmp_path / "killed", ["wang", "chance"], progress=lambda d, _: counts.append(d)
    )
    assert counts == [3, 4]
    assert without_times(again) == without_times(whole)
    assert without_times(runner.read(tmp_path / "killed" / runner.ANSWERS)) == without_times(whole)


def test_another_run_in_the_same_folder_is_refused(parts, tmp_path):
    (tmp_path / runner.PROGRESS).write_text(json.dumps({"kind": "run", "suite": "other"}) + "\n")
    with pytest.raises(A2VError, match="another run"):
        run(parts, tmp_path, ["chance"])


def test_checksum_follows_bytes_and_splits_not_places(tracks, tmp_path):
    moved = [Track(shutil.copy(t.path, tmp_path / t.track), t.track, split=t.split) for t in tracks]
    assert runner.checksum(moved[::-1]) == runner.checksum(tracks)
    (tmp_path / "0.wav").write_bytes((tmp_path / "1.wav").read_bytes())
    assert runner.checksum(moved) != runner.checksum(tracks)


def test_a_system_that_is_none_is_named_with_those_there_are():
    with pytest.raises(A2VError, match=r"shazam.*wang.*fpcalc"):
        systems.create("shazam")
    with pytest.raises(A2VError, match=r"engine 'bal'; did you mean 'ball'\?"):
        systems.create("semantic32@bal")


def test_the_two_files_of_a_model_are_two_systems():
    path = resources.saved_model("semantic32")
    names = [systems.create(str(file)).name for file in (path, path.with_suffix(".int8.tflite"))]
    assert names == ["semantic32", "semantic32.int8"]


def test_a_model_is_asked_by_the_engine_that_its_name_ends_in(tracks, tmp_path):
    clip = audio.load(tracks[2].path)[: 3 * audio.SAMPLE_RATE]
    asked = [opened(f"semantic32{of}", tracks[:3], tmp_path / f"of{of}") for of in ("", "@ball")]
    assert [system.name for system in asked] == ["semantic32", "semantic32@ball"]
    assert asked[0].model_id == asked[1].model_id
    assert [system.query(clip)[0].track for system in asked] == [tracks[2].track] * 2
    own = shutil.copy(resources.saved_model("semantic32"), tmp_path / "me@home.tflite")
    assert systems.create(str(own)).engine == "auto"
    assert systems.create(f"{own}@exact").engine == "exact"
    with pytest.raises(A2VError, match="engine ball takes those of 32"):
        opened("lstm128@ball", tracks[:1], tmp_path / "wide").query(clip)


@pytest.fixture
def program(tmp_path):
    """A function: the TOML file of a program that answers what it is told to."""

    def write(said, **changes):
        values = {
            "name": "other",
            "index": "cp {list} {index}/copy",
            "query": f"printf '{said}'",
            "answer": r"^hit (?P<track>\S+) (?P<offset_s>\S+) (?P<score>\S+)$",
        }
        text = "".join(f"{k} = '''{v}'''\n" for k, v in {**values, **changes}.items() if v)
        (tmp_path / "program.toml").write_text(text)
        return str(tmp_path / "program.toml")

    return write


def test_another_program_answers_by_its_command_line(program, parts, tmp_path):
    said = "noise\\nhit 1.wav 2.5 30\\nhit /elsewhere/0.wav 1 7\\nhit 1.wav 9 3\\n"
    system = opened(program(said), parts[0], tmp_path / "index")
    answers = system.query(np.zeros(16000, np.float32))
    found = [(a.track, a.offset_s, a.score) for a in answers]
    assert found == [("1.wav", 2.5, 30.0), ("0.wav", 1.0, 7.0)]
    listed = (tmp_path / "index" / "copy").read_text().splitlines()
    assert listed == [track.path for track in parts[0]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"query": None}, "needs name, index, query, answer"),
        ({"answer": "("}, "no regular expression"),
        ({"query": "no-such-program {clip}"}, "no-such-program: no such program here"),
    ],
)
def test_a_program_that_cannot_be_asked_is_refused(program, changes, said):
    with pytest.raises(A2VError, match=said):
        systems.create(program("", **changes))


def test_a_program_that_fails_is_named_with_its_last_words(program, parts, tmp_path):
    file = program("", query="sh -c 'echo broken >&2; exit 4'")
    system = opened(file, parts[0], tmp_path / "index")
    with pytest.raises(A2VError, match=r"exit code 4 \(broken\)"):
        system.query(np.zeros(16000, np.float32))


def test_fpcalc_finds_clean_clips(parts, tmp_path):
    if not shutil.which("fpcalc"):
        with pytest.raises(external.NotInstalled, match="libchromaprint-tools"):
            systems.create("fpcalc")
        pytest.skip("no fpcalc here")
    system = opened("fpcalc", parts[0], tmp_path / "index")
    tasks = [task for task in planned(parts, lengths_s=[6.0], names=("clean",)) if task.known]
    rows = [retrieval.answered(t, [system], 0, noises=[], rooms=[])[0] for t in tasks]
    assert sum(row["rank"] == 1 for row in rows) >= len(rows) - 1


def filled(tracks, encoder_path, folder, *counts):
    folder.mkdir()
    system = systems.Zoo("tiny", encoder_path)
    systems.indexed(system, tracks[4:], folder / "index")
    for count in counts:
        system.fill(tracks[:4], count, folder / "index", seed=3, jobs=1)
    system.open(folder / "index")
    return system


def test_distractors_fill_a_catalogue_to_the_hash_and_go_on(tracks, encoder_path, tmp_path):
    whole = filled(tracks, encoder_path, tmp_path / "whole", 700)
    parts = filled(tracks, encoder_path, tmp_path / "parts", 130, 700, 700)
    held = []
    for system in (whole, parts):
        listed = system._library.tracks()
        made = [entry for entry in listed if entry.track.startswith("distractor-")]
        assert sum(entry.hashes for entry in made) == 700 and len(listed) == len(made) + 6
        assert system._library.verify() == []
        held.append([(entry.track, entry.hashes) for entry in made])
    # Of each pass every track is there at another speed, so at another length.
    assert len({hashes for _, hashes in held[0]}) > 6
    # What was cut off at the first end stays short; all others are the same.
    assert held[0][0] == held[1][0] and held[1][1][1] == 130 - held[1][0][1]
    assert held[0][2:6] == held[1][2:6]


def test_distractors_are_asked_of_models_alone(tracks, tmp_path):
    asked = {"noise": (), "rooms": (), "distractors": 9}
    with pytest.raises(A2VError, match="chance: takes no distractors"):
        runner.run(tmp_path, ["chance"], tracks, [], None, head={"seed": 0}, **asked)
    with pytest.raises(A2VError, match="give a corpus with a train split"):
        systems.distractors.add(tmp_path / "l.a2v", [], 9, seed=0)


def test_queries_are_answered_among_distractors(parts, encoder_path, tmp_path):
    counted = []
    rows = runner.run(
        tmp_path,
        [str(encoder_path)],
        parts[0],
        planned(parts, queries=4),
        retrieval.answered,
        head={"seed": 0},
        noise=(),
        rooms=(),
        distractors=500,
        jobs=1,
        progress=lambda *done: counted.append(done),
    )
    assert (500, 500) in counted
    clean = [row for row in rows if row.get("condition") == "clean" and row.get("known")]
    assert clean and all(row["rank"] == 1 for row in clean)
