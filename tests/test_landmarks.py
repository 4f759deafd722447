import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from a2v.classics import landmarks


def spectrum(seed, frames=200, bins=90):
    return np.random.default_rng(seed).random((frames, bins), np.float32)


def found(power, *, around_frames=2, around_bins=3, floor=0.0, most=1e9, radius=10):
    return landmarks.peaks(
        power,
        around_frames=around_frames,
        around_bins=around_bins,
        floor=floor,
        most=most,
        radius=radius,
    )


def paired(frames, bins, **changes):
    settings = {"targets": 3, "zone_start": 2, "zone_frames": 20, "zone_bins": 15, **changes}
    anchors, partners = landmarks.pairs(frames, bins, **settings)
    return list(zip(anchors.tolist(), partners.tolist(), strict=True))


def test_spectrogram_of_a_tone_peaks_in_its_bin():
    time = np.arange(8000) / 16000
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    power = landmarks.spectrogram(
        tone, np.ones(100, np.float32), first_bin=10, frame_length=512, frame_step=128
    )
    assert power.shape == (1 + (8000 - 512) // 128, 100)
    assert np.all(power.argmax(axis=1) == 32 - 10)  # 1000 Hz of 31.25 Hz each
    assert power.max(axis=1) == pytest.approx((512 / 4) ** 2, rel=1e-3)


@pytest.mark.parametrize(("around_frames", "around_bins"), [(0, 0), (1, 1), (4, 8), (7, 2)])
def test_peaks_are_the_largest_of_their_neighbourhood(around_frames, around_bins):
    power = spectrum(0)
    size = (2 * around_frames + 1, 2 * around_bins + 1)
    expected = np.nonzero(power == maximum_filter(power, size, mode="constant"))
    frames, bins = found(power, around_frames=around_frames, around_bins=around_bins)
    assert np.array_equal((frames, bins), expected)


def test_peaks_are_the_strongest_around_them():
    power, radius = spectrum(1), 10
    everywhere = found(power, radius=radius)
    levels = power[everywhere]
    expected = [
        np.count_nonzero((np.abs(everywhere[0] - frame) <= radius) & (levels > level)) < 5
        for frame, level in zip(everywhere[0], levels, strict=True)
    ]
    frames, bins = found(power, most=5, radius=radius)
    assert 0 < len(frames) < len(levels)
    assert np.array_equal((frames, bins), np.array(everywhere)[:, expected])


def test_peaks_do_not_depend_on_where_the_recording_begins():
    power = spectrum(2)
    frames, bins = found(power, most=6)
    late_frames, late_bins = found(power[37:], most=6)
    # What is lost may have been stronger, or masked what stands next to it.
    inner, late_inner = frames >= 37 + 20, late_frames >= 20
    assert np.array_equal(frames[inner] - 37, late_frames[late_inner])
    assert np.array_equal(bins[inner], late_bins[late_inner])


def test_peaks_do_not_depend_on_level_but_on_the_floor():
    power = spectrum(3) ** 8
    assert np.array_equal(found(power, floor=0.5), found(power / 1024, floor=0.5))
    frames, bins = found(power, floor=0.5)
    assert power[frames, bins].min() > 0.5 * power.max()
    assert len(found(power, floor=0.01)[0]) > len(frames)


@pytest.mark.parametrize("shape", [(0, 90), (30, 90)])
def test_peaks_of_silence_are_none(shape):
    frames, bins = found(np.zeros(shape, np.float32))
    assert len(frames) == len(bins) == 0


def test_pairs_equal_brute_force():
    frames, bins = found(spectrum(4))
    expected = set()
    for anchor in range(len(frames)):
        zone = [
            partner
            for partner in range(anchor + 1, len(frames))
            if 2 <= frames[partner] - frames[anchor] <= 20
            and abs(bins[partner] - bins[anchor]) <= 15
        ]
        expected |= {(anchor, partner) for partner in zone[:3]}
    pairs = paired(frames, bins)
    assert len(pairs) == len(expected)
    assert set(pairs) == expected


def test_pairs_of_fewer_than_two_peaks_are_none():
    assert paired(np.zeros(0, np.int64), np.zeros(0, np.int64)) == []
    assert paired(np.array([3]), np.array([5])) == []
