"""Draws degradations for training, from stateless seeds, and makes the pairs to learn from."""

import functools
import math

import numpy as np
import tensorflow as tf
from keras import ops

from a2v import audio, degrade, features, surroundings
from a2v.errors import A2VError

MADE_UP = 256  # noises with partials, and rough ones
CROWDS = 0.15  # share of copies that other music is heard beside
CUT_S, GAP_DB = (0.15, 0.75), (-20.0, -80.0)  # of short sounds, and of what is between them


class Augmentation:
    """Makes (window, degraded window) pairs of the frames of a feature layer.

    The copy is heard elsewhere: reverberation, equaliser and band limits, background noise
    (recorded, with partials, rough, coloured, other music of the batch, or two of them), clipping,
    a shift in time, and speed, tempo or pitch a little off. Everything is drawn from the seed of
    the batch.

    Args:
        layer: `features.FrameFeatures` layer.
        margin: int, samples of context on both sides of each training waveform.
        noise, rooms: lists of files or folders of recordings, heard beside made-up ones; made-up
            ones alone where `None`.
        snr_db: (low, high), dB.
        shift_s: float, largest shift of the copy, seconds.
        speed, tempo: float, largest relative change.
        semitones: float, largest change of pitch alone.
        varispeed: float, largest relative change of speed of window and copy alike, in every
            second pair: music that the dataset does not hold.
        mixed: float, 0 to 1, share of pairs of two recordings of the batch at once, the other one
            at most as loud: more such music.
        gaps: float, 0 to 1, share of pairs whose music is cut into short sounds, with near
            silence between (`CUT_S`, `GAP_DB`); there the copy holds only what else is heard.
        decay_s: (low, high), s, in which the simulated rooms' reverberation falls by 60 dB.
        reverb_db: (low, high), dB, its energy over the direct sound's.
        seed: int, for simulated noise and rooms.
    """

    def __init__(
        self,
        layer,
        margin,
        *,
        noise=None,
        rooms=None,
        snr_db=(-4.0, 14.0),
        shift_s=0.16,
        speed=0.065,
        tempo=0.06,
        semitones=1.2,
        varispeed=0.0,
        mixed=0.0,
        gaps=0.0,
        decay_s=surroundings.DECAY_S,
        reverb_db=surroundings.REVERB_DB,
        seed=0,
    ):
        for share, value in (("mixed", mixed), ("gaps", gaps)):
            if not 0 <= value <= 1:
                raise A2VError(f"{share} {value}: use 0 to 1, the share of pairs")
        for change, value in (("speed", speed), ("tempo", tempo), ("varispeed", varispeed)):
            if not 0 <= value < 1:
                raise A2VError(f"{change} {value}: use 0 or more, below 1, the largest change")
        if not snr_db[0] <= snr_db[1]:
            raise A2VError(f"snr_db {list(snr_db)}: give the lower level first")
        self.layer, self.margin = layer, margin
        self.snr_db, self.shift_s = snr_db, shift_s
        self.speed, self.tempo, self.semitones = speed, tempo, semitones
        self.varispeed, self.mixed, self.gaps = varispeed, mixed, gaps
        # A window of another speed or tempo reaches beyond its own ends, as does a shifted one.
        warp_s = layer.span() / 2 * max(speed, tempo) / audio.SAMPLE_RATE
        reach_s = shift_s + max(shift_s, warp_s)
        self.reach = reach_s * audio.SAMPLE_RATE
        if self._room(1 + varispeed) < 0:
            half_s = layer.span() / 2 / audio.SAMPLE_RATE
            wanted_s = (reach_s + half_s) * (1 + varispeed) - half_s
            raise A2VError(
                f"waveforms with a margin of {margin / audio.SAMPLE_RATE:.2f} s, the degradations "
                f"want {wanted_s:.2f} s; give the pipeline a larger margin_s and run "
                "a2v-preprocess again"
            )
        generator = np.random.default_rng(seed)
        made_up = surroundings.simulated_rooms(generator, decay_s=decay_s, reverb_db=reverb_db)
        self.noises, self.kinds = _noises(generator, noise) if noise else _made_up_noises(seed)
        # Simulated rooms go with recorded ones; transforms are made once.
        impulses = [surroundings.recorded_rooms(rooms), made_up] if rooms else [made_up]
        impulses = np.concatenate(impulses)
        dry = np.eye(1, surroundings.ROOM_SAMPLES, dtype=np.float32)
        self.n_rooms = len(impulses)
        longest = max(surroundings.ROOM_SAMPLES, layer.span() + 2 * margin)
        self.fft_length = 1 << (longest - 1).bit_length()
        self.rooms = ops.rfft(np.concatenate([impulses, dry]), fft_length=self.fft_length)
        # Reading between samples and cutting frames take a tenth of the time when compiled.
        self._compiled = tf.function(self._pairs, jit_compile=True)

    def pairs(self, waveforms, seed, partners=None):
        """Maps waveforms to windows and degraded copies.

        Args:
            waveforms: float32 `[batch, n + 2 margin]`.
            seed: int32 `[2]`.
            partners: float32 of the same shape, other versions of the same passages, of which the
                copies are then made; `None` takes the waveforms themselves.

        Returns:
            float32 `[batch, 2, 100, n_features]`.
        """
        return self._compiled(waveforms, seed, partners)

    def _pairs(self, waveforms, seed, partners):
        seeds = tf.unstack(tf.random.split(seed, 4))
        batch = tf.shape(waveforms)[0]
        span = self.layer.span()
        rate = 1.0
        if self.mixed:
            waveforms, partners = self._mixed(tf.random.fold_in(seed, 1), waveforms, partners)
        if self.varispeed:
            rate = self._rate(tf.random.fold_in(seed, 0), batch)
            waveforms = _at_rate(waveforms, rate)
            partners = None if partners is None else _at_rate(partners, rate)
        if self.gaps:
            gain = self._gain(tf.random.fold_in(seed, 2), batch, waveforms.shape[1])
            waveforms = waveforms * gain
            partners = None if partners is None else partners * gain
        # The window lies anywhere within the margin, less what the copy needs.
        start = self.margin + self._room(rate) * _uniform(seeds[0], (batch, 1), -1.0, 1.0)
        start = tf.floor(start)
        window = degrade.read_at(waveforms, start + tf.range(span, dtype=tf.float32))
        copy = self.degraded(waveforms if partners is None else partners, seeds[1])
        shift = self.shift_s * audio.SAMPLE_RATE
        start += _uniform(seeds[2], (batch, 1), -shift, shift)
        frames = self.warped_frames(copy, start, seeds[3])
        return tf.stack([self.layer(window), self.layer.from_frames(frames)], axis=1)

    def _mixed(self, seed, waveforms, partners):
        """Some waveforms and partners, float32 `[batch, n]`, with another pair's beside them."""
        changed, level, step = tf.unstack(tf.random.split(seed, 3))
        batch = tf.shape(waveforms)[0]
        step = _step(step, 0, batch)
        gain = 10.0 ** (_uniform(level, (batch, 1), -12.0, 0.0) / 20.0)
        gain = tf.where(_uniform(changed, (batch, 1)) < self.mixed, gain, 0.0)
        own, other = degrade.power(waveforms), tf.roll(degrade.power(waveforms), step, axis=0)
        gain *= tf.sqrt(own / (other + 1e-12))
        return [
            None if heard is None else heard + gain * tf.roll(heard, step, axis=0)
            for heard in (waveforms, partners)
        ]

    def _gain(self, seed, batch, n):
        """Gains `[batch, n]` of music that comes in short sounds; of the other pairs, 1.

        A gap is shorter than a window, of which therefore some sound is always left.
        """
        drawn = _uniform(seed, (batch, 6))
        changed, sound, gap, ramp, offset, depth = tf.split(drawn, 6, axis=1)
        sound, gap = (CUT_S[0] + (CUT_S[1] - CUT_S[0]) * part for part in (sound, gap))
        t = tf.range(n, dtype=tf.float32) / audio.SAMPLE_RATE + offset * (sound + gap)
        inside = sound / 2 - tf.abs(t % (sound + gap) - sound / 2)  # s from the nearer edge
        shape = tf.clip_by_value(inside / (0.01 + 0.04 * ramp), 0.0, 1.0)
        floor = 10.0 ** ((GAP_DB[0] + (GAP_DB[1] - GAP_DB[0]) * depth) / 20.0)
        return tf.where(changed < self.gaps, floor + (1.0 - floor) * shape, 1.0)

    def _rate(self, seed, batch):
        """Speeds `[batch, 1]` of pairs."""
        changed, change = tf.unstack(tf.random.split(seed, 2))
        change = _uniform(change, (batch, 1), -self.varispeed, self.varispeed)
        return 1 + tf.where(_uniform(changed, (batch, 1)) < 0.5, change, 0.0)

    def _room(self, rate):
        """By how many samples a window may lie off the middle of a waveform at this speed."""
        half = self.layer.span() / 2
        return (half + self.margin) / rate - half - self.reach

    def degraded(self, waveforms, seed):
        """Room, equaliser, noise and clipping: float32 `[batch, n]` to the same shape."""
        s = tf.unstack(tf.random.split(seed, 10))
        batch, n = tf.shape(waveforms)[0], waveforms.shape[1]
        # Half stay dry, which is the last room.
        chosen = _integers(s[1], batch, self.n_rooms)
        chosen = tf.where(_uniform(s[0], (batch,)) < 0.5, chosen, self.n_rooms)
        room = [tf.gather(part, chosen) for part in self.rooms]
        bins = self.fft_length // 2 + 1
        limited = tf.cast(_uniform(s[2], (batch, 1)) < 0.3, tf.float32)
        low = 20.0 + limited * _uniform(s[3], (batch, 1), 30.0, 380.0)
        high = 8000.0 - limited * _uniform(s[4], (batch, 1), 0.0, 5200.0)
        response = degrade.band_response(low, high, bins) * self._equaliser(s[5], batch, bins)
        wet = degrade.filtered(
            waveforms, spectrum=[part * response for part in room], fft_length=self.fft_length
        )
        snr = _uniform(s[6], (batch, 1), *self.snr_db)
        noisy = degrade.add_noise(wet, self._background(s[7], waveforms, n), snr_db=snr)
        driven = tf.cast(_uniform(s[8], (batch, 1)) < 0.15, tf.float32)
        return degrade.clip(noisy, drive_db=driven * _uniform(s[9], (batch, 1), 0.0, 15.0))

    def warped_frames(self, waveforms, start, seed):
        """Cuts frames `[batch, 100, frame_length]` with speed, tempo or pitch a little off.

        They are emphasised as the layer's `from_frames` wants them.

        Frames advance by `tempo` times their step while each is read at `pitch` times the rate:
        both alike is a change of speed; one alone leaves pitch or tempo as it was.
        """
        s = tf.unstack(tf.random.split(seed, 4))
        batch = tf.shape(waveforms)[0]
        kind = _uniform(s[0], (batch, 1))
        speed = 1 + _uniform(s[1], (batch, 1), -self.speed, self.speed)
        tempo = 1 + _uniform(s[2], (batch, 1), -self.tempo, self.tempo)
        pitch = 2.0 ** (_uniform(s[3], (batch, 1), -self.semitones, self.semitones) / 12)
        one = tf.ones_like(speed)
        step = tf.where(kind < 0.35, speed, tf.where(kind < 0.55, tempo, one))
        rate = tf.where(kind < 0.35, speed, tf.where((kind >= 0.55) & (kind < 0.75), pitch, one))
        # The window's middle stays where it is.
        span, n_frames = self.layer.span(), features.WINDOW_FRAMES
        start += span / 2 * (1 - step)
        length = math.ceil(span * max(1 + self.tempo, 2 ** (self.semitones / 12)))
        read = degrade.read_at(waveforms, start + rate * tf.range(length, dtype=tf.float32))
        advance = features.FRAME_STEP * step / rate  # [batch, 1], samples of `read`
        first = tf.cast(tf.round(advance * tf.range(n_frames, dtype=tf.float32)), tf.int32)
        index = first[:, :, None] + tf.range(self.layer.frame_length)
        heard = self.layer.emphasised(read)
        return tf.gather(heard, tf.minimum(index, length - 1), batch_dims=1)

    def _equaliser(self, seed, batch, bins):
        # Nine control gains of up to 8 dB, from 0 Hz to 8 kHz, joined by straight lines.
        gains = _uniform(seed, (batch, 9), -8.0, 8.0)
        at = np.linspace(0, 8 - 1e-4, bins)
        left, part = at.astype(np.int32), (at % 1).astype(np.float32)
        curve = tf.gather(gains, left, axis=1) * (1 - part)
        curve += tf.gather(gains, left + 1, axis=1) * part
        return 10.0 ** (curve / 20.0)

    def _background(self, seed, waveforms, n):
        s = tf.unstack(tf.random.split(seed, 5))
        batch = tf.shape(waveforms)[0]
        # A crowd of other music: three windows of the batch, each at its own level.
        levels = 10.0 ** (_uniform(s[0], (batch, 3), -12.0, 0.0) / 20.0)
        shifts = [_step(s[1], k, batch) for k in range(3)]
        crowd = tf.add_n(
            [tf.roll(waveforms, shifts[k], axis=0) * levels[:, k : k + 1] for k in range(3)]
        )
        crowd /= tf.sqrt(degrade.power(crowd)) + 1e-6
        one = tf.where(_uniform(s[2], (batch, 1)) < CROWDS, crowd, self._noise(s[3], batch, n))
        # Every second has another noise beside it, at most as loud.
        both, level, other = tf.unstack(tf.random.split(s[4], 3))
        gain = 10.0 ** (_uniform(level, (batch, 1), -12.0, 0.0) / 20.0)
        gain = tf.where(_uniform(both, (batch, 1)) < 0.5, gain, 0.0)
        return one + gain * self._noise(other, batch, n)

    def _noise(self, seed, batch, n):
        """Excerpts of random noises of random kinds, recorded ones twice as often."""
        kind, row, place = tf.unstack(tf.random.split(seed, 3))
        chosen = tf.gather([0, 0, 1, 2, 3], _integers(kind, batch, 5))
        first, end = tf.gather(self.kinds[:-1], chosen), tf.gather(self.kinds[1:], chosen)
        part = _uniform(row, (batch,)) * tf.cast(end - first, tf.float32)
        index = tf.minimum(first + tf.cast(part, first.dtype), end - 1)
        rows = tf.gather(self.noises, index)
        offset = _integers(place, batch, surroundings.NOISE_SAMPLES)[:, None]
        return tf.gather(rows, (offset + tf.range(n)) % surroundings.NOISE_SAMPLES, batch_dims=1)


def _at_rate(waveforms, rate):
    """The same waveforms at another speed about their middle: float32 `[batch, n]` to the same."""
    middle = (waveforms.shape[1] - 1) / 2
    t = tf.range(waveforms.shape[1], dtype=tf.float32)
    return degrade.read_at(waveforms, middle + rate * (t - middle))


def _uniform(seed, shape, low=0.0, high=1.0):
    return tf.random.stateless_uniform(shape, seed, low, high)


def _integers(seed, count, below):
    return tf.random.stateless_uniform((count,), seed, 0, below, tf.int32)


def _step(seed, k, batch):
    return 1 + tf.random.stateless_uniform((), seed + k, 0, tf.maximum(batch - 1, 1), tf.int32)


def _noises(generator, noise=None):
    """Noises of all kinds, the recorded ones in the place of simulated ones.

    One bank, so that a batch gathers its excerpts once: float32 tensor `[n, 80000]`, and int64
    `[kinds + 1]`, where in it each kind begins.
    """
    heard = surroundings.simulated_noises(generator)
    if noise:
        heard = surroundings.varied(surroundings.recorded_noises(noise), generator)
    kinds = [
        heard,
        surroundings.pitched_noises(generator, count=MADE_UP),
        surroundings.rough_noises(generator, count=MADE_UP),
        surroundings.coloured_noises(generator),
    ]
    return tf.constant(np.concatenate(kinds)), np.cumsum([0, *map(len, kinds)])


@functools.lru_cache(maxsize=2)  # they take ten seconds to make, and 200 MB
def _made_up_noises(seed):
    generator = np.random.default_rng(seed)
    surroundings.simulated_rooms(generator)  # drawn first, however they reverberate
    return _noises(generator)
