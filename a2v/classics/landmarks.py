"""Landmarks of a spectrogram: its peaks, and pairs of them.

Reference: A. Wang, "An Industrial-Strength Audio Search Algorithm", ISMIR 2003, section 2.1.
"""

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

# Frames transformed at a time: their spectra stay within the cache.
_FRAMES = 64


def frame_count(samples, *, frame_length, frame_step):
    """How many whole frames so many samples hold: int."""
    return max(0, 1 + (samples - frame_length) // frame_step)


def spectrogram(waveform, gains, *, first_bin, frame_length, frame_step):
    """Power by frame and bin, under a Hann taper.

    Args:
        waveform: float32 `[n]`.
        gains: float32 `[bins]`, what the power in each bin is multiplied by.
        first_bin: int, of the Fourier transform, that `gains` begin at.
        frame_length, frame_step: int, samples.

    Returns:
        float32 `[frames, bins]`. Peaks and their order are those of the logarithm, which
        therefore is left out.
    """
    count = frame_count(len(waveform), frame_length=frame_length, frame_step=frame_step)
    power = np.empty((count, len(gains)), np.float32)
    if not count:
        return power
    taper = np.hanning(frame_length + 1)[:-1].astype(np.float32)
    framed = sliding_window_view(waveform, frame_length)[::frame_step]
    for first in range(0, count, _FRAMES):
        spectra = scipy.fft.rfft(framed[first : first + _FRAMES] * taper, axis=1)
        spectra = spectra[:, first_bin : first_bin + len(gains)]
        rows = power[first : first + _FRAMES]
        np.square(spectra.real, out=rows)
        rows += np.square(spectra.imag)
        rows *= gains
    return power


def peaks(power, *, around_frames, around_bins, floor, most, radius):
    """The peaks of a spectrogram: the largest of their neighbourhood and among the strongest.

    Args:
        power: float32 `[frames, bins]`.
        around_frames, around_bins: int, how far the neighbourhood reaches to either side.
        floor: float, share of the strongest peak's power, under which is none.
        most: float, how many peaks are kept in any `2 * radius + 1` frames, about. Unlike the
            strongest of every second on a grid, these are the same wherever the recording begins.
        radius: int, frames.

    Returns:
        Pair of int64 `[n]`, frames and bins, in order of time.
    """
    loudest = power.max(initial=0)
    if not loudest > 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    largest = _largest(_largest(power, around_frames).T, around_bins).T
    frames, bins = np.nonzero((power == largest) & (power > floor * loudest))
    kept = _ranks(frames, power[frames, bins], radius) < most
    return frames[kept], bins[kept]


def pairs(frames, bins, *, targets, zone_start, zone_frames, zone_bins):
    """Anchors and the next peaks in their target zones.

    Args:
        frames, bins: int64 `[peaks]`, as `peaks` returns them.
        targets: int, the most pairs that an anchor forms, the nearest in time first.
        zone_start, zone_frames: int, frames from an anchor to where its zone begins and ends.
        zone_bins: int, how far the zone reaches to either side.

    Returns:
        Pair of int64 `[pairs]`, the indices of anchors and of targets.
    """
    formed = np.zeros(len(frames), np.int64)
    anchors, partners = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for ahead in range(1, len(frames)):
        later = frames[ahead:] - frames[:-ahead]
        near = later <= zone_frames
        if not near.any():
            break
        near &= (later >= zone_start) & (formed[:-ahead] < targets)
        near &= np.abs(bins[ahead:] - bins[:-ahead]) <= zone_bins
        formed[:-ahead] += near
        anchors.append(np.flatnonzero(near))
        partners.append(anchors[-1] + ahead)
    return np.concatenate(anchors), np.concatenate(partners)


def _largest(values, around):
    """The largest within `around` rows to either side of each, values being 0 or more: `[n, m]`.

    Windows are joined two and two into windows of twice the width; whole rows at a time, this is
    three times as fast as `scipy.ndimage.maximum_filter1d`.
    """
    width = 2 * around + 1
    largest = np.zeros((len(values) + 2 * around, values.shape[1]), values.dtype)
    largest[around : around + len(values)] = values
    reached = 1
    while reached < width:
        step = min(reached, width - reached)
        largest = np.maximum(largest[:-step], largest[step:])
        reached += step
    return largest


def _ranks(frames, levels, radius):
    """How many stronger peaks lie within `radius` frames of each: int64 `[n]`.

    Of equals, the earlier is the stronger.
    """
    ranks = np.zeros(len(frames), np.int64)
    for ahead in range(1, len(frames)):
        near = frames[ahead:] - frames[:-ahead] <= radius
        if not near.any():
            break
        louder = levels[ahead:] > levels[:-ahead]
        ranks[:-ahead] += near & louder
        ranks[ahead:] += near & ~louder
    return ranks
