"""Runs an exported encoder with LiteRT: waveform to hashes, without TensorFlow."""

import contextlib
import os
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from a2v import attached, hashing
from a2v.audio import SILENCE_DBFS
from a2v.errors import A2VError

# Signatures: of a block, and of one window, which a file need not have.
_BLOCK, _WINDOW = "hash", "hash_window"
# So many windows are hashed sooner one by one than as a block: both ways take as long at 13 of 37.
_FEW = 12
# By how much a window that hangs over a clip counts for less, for each second of it made up.
_MADE_UP = 0.25
_REDIRECTED = threading.Lock()


class Encoder:
    """An exported model.

    The graph takes blocks of `block_samples` and gives `block_windows` rows; consecutive blocks
    begin `block_windows` hops apart, counted from the recording's first sample, so hashes do not
    depend on how the recording is cut into pieces. The last few windows go through a graph of one,
    where the file has it; of a dynamic range file their bits may differ a little from a block's,
    whose activations are rounded together. A recording of n samples has
    1 + (n - window) // hop windows; its end is padded with zeros, and rows beyond are dropped.

    Args:
        source: path of a `.tflite` file, or its bytes.
        name: str, what messages call it; the path if not given.

    Attributes:
        name: str, the model's name.
        model_id: str, equal for all exports of one set of weights.
        sample_rate: int, Hz.
        n_bits: int, bits per hash.
        window_s: float, s, what one hash is made from.
        hop_s: float, s, from one hash to the next.
        turns_with_key: bool, whether bits move with the music's key, see `hashing.transpose`.
        overhang_s: float, s, by how much windows of a clip may hang over its ends.
        discriminant: `discriminant.Discriminant`, by which bits of a clip are weighed, or `None`.
        downmix: str, how the waveform is made mono, see `audio.load`.
        digest: str, of the feature definition.
        calibration: dict, what a score is worth, see `chance.false_accepts` and `probability`.
        metadata: dict, all of `a2v.json`.
        data: bytes, the file.

    Raises:
        A2VError: the file is missing, or no encoder that this version can run.
    """

    def __init__(self, source, *, name=None):
        if isinstance(source, bytes):
            name, self.data = name or "encoder", source
        else:
            name, self.data = name or str(source), _read(source)
        self.metadata = attached.read_metadata(self.data, name=name)
        for key in ("name", "model_id", "sample_rate", "n_bits", "window_s", "hop_s"):
            setattr(self, key, self.metadata[key])
        self.downmix = self.metadata["downmix"]
        self.turns_with_key = self.metadata.get("turns_with_key", False)
        self.overhang_s = self.metadata.get("overhang_s", 0.0)
        self.discriminant = attached.read_discriminant(self.data, name=name)
        self.digest = self.metadata["digest"]
        self.calibration = dict(self.metadata["calibration"])
        self._window = round(self.window_s * self.sample_rate)
        self._hop = round(self.hop_s * self.sample_rate)
        self._block_windows = self.metadata["block_windows"]
        self._block_samples = self.metadata["block_samples"]
        self._span = self.metadata["span_samples"]
        self._interpreter, self._run, self._run_window = _load(self.data, name)

    def __reduce__(self):
        """Goes to other processes as the file's bytes."""
        return type(self), (self.data,)

    def windows(self, n_samples):
        """How many windows a waveform of n_samples has: int, 0 if it is shorter than one."""
        return max(0, 1 + (n_samples - self._window) // self._hop)

    def embed(self, waveform):
        """Embeds every window of a waveform.

        Args:
            waveform: float32 `[n]` at `sample_rate`.

        Returns:
            float32 `[windows, d]`.

        Raises:
            A2VError: the waveform is shorter than a window.
        """
        return self._rows([waveform], "embedding")

    def hash(self, waveform):
        """Hashes every window of a waveform.

        Args:
            waveform: float32 `[n]` at `sample_rate`.

        Returns:
            uint8 `[windows, n_bits / 8]`.

        Raises:
            A2VError: the waveform is shorter than a window.
        """
        return self._rows([waveform], "hash")

    def hash_blocks(self, blocks):
        """Hashes a waveform that comes in pieces, in memory bounded by the longest piece.

        Args:
            blocks: iterable of float32 `[m]` at `sample_rate`, of any lengths.

        Returns:
            uint8 `[windows, n_bits / 8]`, the same bytes as `hash` of the concatenation.

        Raises:
            A2VError: all pieces together are shorter than a window.
        """
        return self._rows(blocks, "hash")

    def fingerprint(self, waveform, *, phases=1, plain=False):
        """Hashes a query whose beginning may lie anywhere between two hops of its reference.

        A clip tells something of windows that hang over its ends, too: they are heard by up to
        `overhang_s` in its mirror image, and count for less.

        Args:
            waveform: float32 `[n]` at `sample_rate`.
            phases: int, how many beginnings to try, `hop_s / phases` apart.
            plain: bool, whole windows alone, and each bit weighed by itself.

        Returns:
            list of (phase_s, codes uint8 `[windows, n_bits / 8]`, weights uint8 or int8
            `[windows, n_bits]`), made by `hashing.query` of what `beginnings` gives, of the
            waveform or of it and its mirror images: the first window begins `phase_s` into the
            waveform, before it where that is below 0; weights are relative to the audible windows
            of their phase, and 0 in silent ones.

        Raises:
            A2VError: the waveform is shorter than a window.
        """
        if not self.windows(len(waveform)):
            raise self._too_short(len(waveform))
        margin = 0 if plain else round(self.overhang_s * self.sample_rate)
        discriminant = None if plain else self.discriminant
        longer = np.pad(waveform, margin, mode="reflect") if margin else waveform
        found = []
        for phase_s, embedding, audible in self.beginnings(longer, phases=phases):
            first = round(phase_s * self.sample_rate) - margin
            begins = first + self._hop * np.arange(len(embedding))
            made_up = np.maximum(-begins, 0)
            made_up += np.maximum(begins + self._window - len(waveform), 0)
            shares = _MADE_UP ** (made_up[:, None] / self.sample_rate)
            hashes = hashing.query(embedding, audible, shares, discriminant)
            found.append((first / self.sample_rate, *hashes))
        return found

    def beginnings(self, waveform, *, phases):
        """Embeds a query from several beginnings on.

        Args:
            waveform: float32 `[n]` at `sample_rate`.
            phases: int, how many beginnings, `hop_s / phases` apart.

        Returns:
            list of (phase_s, embedding float32 `[windows, d]`, audible bool `[windows]`): the
            first `phase_s` seconds were dropped. A waveform that is too short for a window at some
            phase goes on, or begins before itself (`phase_s` below 0), in its mirror image, by
            half a hop at most.

        Raises:
            A2VError: the waveform is shorter than a window.
        """
        found = []
        for phase in range(phases):
            start = round(phase * self._hop / phases)
            heard = waveform[start:]
            if start and not self.windows(len(heard)):
                start -= self._hop if 2 * start > self._hop else 0
                margin = abs(start)
                heard = np.pad(waveform, margin, mode="reflect")[margin + start :][: self._window]
            found.append((start / self.sample_rate, self.embed(heard), self.audible(heard)))
        return found

    def audible(self, waveform):
        """Tells windows from silence.

        Args:
            waveform: float32 `[n]` at `sample_rate`.

        Returns:
            bool `[windows]`, false where the RMS is below `audio.SILENCE_DBFS`.
        """
        energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
        starts = self._hop * np.arange(self.windows(len(waveform)))
        power = (energy[starts + self._window] - energy[starts]) / self._window
        return power >= 10 ** (SILENCE_DBFS / 10)

    def _rows(self, pieces, output):
        pending = np.zeros(0, np.float32)
        advance = self._block_windows * self._hop
        heard, rows = 0, []
        for piece in pieces:
            pending = np.concatenate([pending, np.asarray(piece, dtype=np.float32)])
            heard += len(piece)
            first = 0
            while len(pending) - first >= self._block_samples:
                rows.append(self._block(pending[first : first + self._block_samples], output))
                first += advance
            pending = pending[first:]
        windows = self.windows(heard)
        if not windows:
            raise self._too_short(heard)
        pending = np.pad(pending, (0, self._block_samples))
        few = _FEW if self._run_window else 0
        while (left := windows - len(rows) * self._block_windows) > few:
            rows.append(self._block(pending[: self._block_samples], output))
            pending = pending[advance:]
        rows += [self._alone(pending[k * self._hop :], output) for k in range(left)]
        return np.concatenate(rows)[:windows]

    def _too_short(self, samples):
        return A2VError(
            f"{samples / self.sample_rate:.2f} s of audio, {self.name} needs at least "
            f"{self.window_s:.2f} s; give a longer recording"
        )

    def _block(self, samples, output):
        values = self._run(waveform=samples[None])[output]
        return values.reshape(self._block_windows, -1)

    def _alone(self, samples, output):
        return self._run_window(waveform=samples[None, : self._span])[output].reshape(1, -1)


def _read(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise A2VError(
            f"{path}: cannot be read ({error.strerror}); expected a model.tflite"
        ) from None


def _load(data, name):
    # Late: what only reads metadata does not wait for it.
    from ai_edge_litert.interpreter import Interpreter

    try:
        with _without_notices():
            interpreter = Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
            runners = [
                interpreter.get_signature_runner(key)
                if key == _BLOCK or key in interpreter.get_signature_list()
                else None
                for key in (_BLOCK, _WINDOW)
            ]
        return interpreter, *runners
    except (ValueError, RuntimeError) as error:
        raise A2VError(f"{name}: LiteRT cannot run it ({error}); export it again") from None


@contextlib.contextmanager
def _without_notices():
    """Keeps LiteRT's "INFO: Created ... delegate" off standard error; other lines still come.

    The native library writes it past Python, and offers no switch.
    """
    if sys.stderr is None:
        yield  # standard error is closed
        return
    # One thread at a time: another's would be taken for the descriptor to go back to.
    with _REDIRECTED, tempfile.TemporaryFile() as written:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            lines = [line for line in written if not line.startswith(b"INFO:")]
            os.write(2, b"".join(lines))
