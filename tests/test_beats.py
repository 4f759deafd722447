import numpy as np
import pytest

from a2v.corpora import beats, synthetic
from a2v.errors import A2VError


def test_what_is_written_is_read(tmp_path):
    played = np.arange(4, 9), np.cumsum([0.5, 0.51, 0.6, 0.3, 0.4])
    beats.write(tmp_path / "a.wav", *played)
    assert (tmp_path / "a.beats.csv").exists()
    for got, expected in zip(beats.read(tmp_path / "a.wav"), played, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_recording_without_a_list_has_no_beats(tmp_path):
    assert beats.read(tmp_path / "a.wav") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "beat,seconds\n",
        "beat,seconds\n0,0\n1,x\n",
        "beat,seconds\n0,0\n1,1\n1,2\n",
        "a,b\n0,0\n1,1\n",
    ],
)
def test_damaged_list_is_named(text, tmp_path):
    (tmp_path / "a.beats.csv").write_text(text, encoding="utf-8")
    with pytest.raises(A2VError, match="a.beats.csv"):
        beats.read(tmp_path / "a.wav")


def test_counterpart_of_a_counterpart_is_where_it_began():
    generator = np.random.default_rng(0)
    one = np.arange(20.0), np.cumsum(generator.uniform(0.3, 0.6, 20))
    other = np.arange(5.0, 30.0), np.cumsum(generator.uniform(0.3, 0.6, 25))
    at = generator.uniform(one[1][0], one[1][-1], 100)
    there, ratio = beats.counterpart(at, one, other)
    both = ~np.isnan(there)
    assert 0 < both.sum() < 100  # the first beats are not in the other
    back, inverse = beats.counterpart(there[both], other, one)
    np.testing.assert_allclose(back, at[both])
    np.testing.assert_allclose(inverse, 1 / ratio[both])
    np.testing.assert_array_equal(both, at >= one[1][5])


def test_a_passage_of_a_slower_version_takes_as_much_longer():
    steady = np.arange(20.0), 0.5 * np.arange(20.0)
    slower = np.arange(-5.0, 20.0), 3.0 + 0.6 * np.arange(25.0)
    there, ratio = beats.counterpart(np.array([0.0, 4.1, 9.5]), steady, slower)
    np.testing.assert_allclose(there, [6.0, 10.92, 17.4])
    np.testing.assert_allclose(ratio, 1.2)


def risen(rise, at):
    return np.mean([rise[max(0, k - 5) : k + 3].max() for k in at if k < len(rise)])


def test_played_beats_are_those_that_are_heard():
    for cover in range(4):
        wave = synthetic.render(3, 0, cover, seconds=20.0)
        number, seconds = synthetic.played_beats(3, 0, cover, seconds=20.0)
        assert seconds[-1] + synthetic.TAIL_S == pytest.approx(len(wave) / 16000, abs=0.01)
        assert (np.diff(number) == 1).all() and (np.diff(seconds) > 0).all()
        # Onsets gather at beats: there is more rise of energy than between them.
        energy = np.log(1e-4 + np.square(wave[: len(wave) // 160 * 160]).reshape(-1, 160).mean(1))
        rise = np.maximum(0, energy[4:] - energy[:-4])
        on = np.round(seconds[:-1] * 100).astype(int)
        off = np.round((seconds[:-1] + 0.27 * np.diff(seconds)) * 100).astype(int)
        assert risen(rise, on) > 1.3 * risen(rise, off)


def test_versions_end_on_the_same_beat():
    ends = {synthetic.played_beats(3, 0, cover, seconds=20.0)[0][-1] for cover in range(6)}
    begins = {synthetic.played_beats(3, 0, cover, seconds=20.0)[0][0] for cover in range(6)}
    assert len(ends) == 1 and len(begins) == 2  # some leave out the introduction
