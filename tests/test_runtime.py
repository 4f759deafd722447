"""Laws of a2v.runtime."""

import pickle
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from a2v import attached, hashing, runtime
from a2v.discriminant import Discriminant
from a2v.errors import A2VError
from a2v.runtime import Encoder


@pytest.fixture(scope="module")
def encoder(encoder_path):
    return Encoder(encoder_path)


def test_hash_is_sign_of_embedding(encoder, melody):
    waveform = melody(1, 7.3)
    codes = encoder.hash(waveform)
    assert codes.dtype == np.uint8
    assert codes.shape == (encoder.windows(len(waveform)), encoder.n_bits // 8)
    np.testing.assert_array_equal(codes, hashing.pack(hashing.binarize(encoder.embed(waveform))))


@pytest.mark.parametrize("n", [16000, 16001, 19999, 20000, 36239, 36240, 36241, 40000, 64000])
def test_windows_follow_from_length(encoder, melody, n):
    assert len(encoder.hash(melody(2, 4)[:n])) == 1 + (n - 16000) // 4000


@pytest.mark.parametrize("cuts", [[], [1], [16000, 16001], list(range(997, 100000, 997)), [70000]])
def test_hash_blocks_equals_hash(encoder, melody, cuts):
    waveform = melody(3, 6.6)
    pieces = np.split(waveform, [cut for cut in cuts if cut < len(waveform)])
    np.testing.assert_array_equal(encoder.hash_blocks(iter(pieces)), encoder.hash(waveform))


def test_hash_blocks_is_bounded_in_memory(encoder):
    block = np.zeros(30 * 16000, np.float32)
    encoder.hash(block)
    tracemalloc.start()
    codes = encoder.hash_blocks(block for _ in range(40))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(codes) == encoder.windows(40 * len(block))
    assert peak < 4 * block.nbytes  # the whole is 40 of them


def test_hash_shifts_with_hops(encoder, melody):
    waveform = melody(4, 8)
    # The last row differs: it sees 15 ms beyond its second, which are zeros at the end.
    np.testing.assert_array_equal(
        encoder.hash(waveform[3 * 4000 :])[:-1], encoder.hash(waveform)[3:-1]
    )


def test_hash_does_not_depend_on_history(encoder, melody):
    before = encoder.hash(melody(5, 3))
    encoder.hash(melody(6, 9))
    np.testing.assert_array_equal(encoder.hash(melody(5, 3)), before)


def test_bytes_equal_file(encoder, encoder_path, melody):
    again = Encoder(encoder_path.read_bytes())
    assert again.model_id == encoder.model_id
    assert again.data == encoder.data
    np.testing.assert_array_equal(again.hash(melody(7, 2)), encoder.hash(melody(7, 2)))


def test_fingerprint_drops_parts_of_hop(encoder, melody):
    waveform = melody(8, 3.1)
    prints = encoder.fingerprint(waveform, phases=4)
    assert [phase_s for phase_s, _, _ in prints] == [0, 0.0625, 0.125, 0.1875]
    for phase_s, codes, weights in prints:
        heard = waveform[round(phase_s * 16000) :]
        np.testing.assert_array_equal(codes, encoder.hash(heard))
        np.testing.assert_array_equal(weights, hashing.reliability(encoder.embed(heard)))


def test_fingerprint_of_a_short_clip_goes_on_in_its_mirror_image(encoder, melody):
    waveform = melody(9, 1)
    prints = encoder.fingerprint(waveform, phases=4)
    assert [phase_s for phase_s, _, _ in prints] == [0, 0.0625, 0.125, -0.0625]
    mirrored = np.concatenate([waveform, waveform[-2:0:-1]])
    for phase_s, codes, _ in prints:
        heard = np.roll(mirrored, -round(phase_s * 16000))[:16000]
        np.testing.assert_array_equal(codes, encoder.hash(heard))
    longer = encoder.fingerprint(melody(9, 1.07), phases=4)
    assert [phase_s for phase_s, _, _ in longer] == [0, 0.0625, 0.125, -0.0625]


def test_fingerprint_is_made_of_the_embeddings_at_each_beginning(encoder, melody):
    waveform = np.concatenate([melody(4, 1.2), np.zeros(20000, np.float32)])
    prints = encoder.fingerprint(waveform, phases=3)
    begun = encoder.beginnings(waveform, phases=3)
    for (phase_s, codes, weights), (begin_s, embedding, audible) in zip(prints, begun, strict=True):
        assert phase_s == begin_s
        np.testing.assert_array_equal(codes, hashing.pack(hashing.binarize(embedding)))
        np.testing.assert_array_equal(weights[audible], hashing.reliability(embedding[audible]))
        assert not weights[~audible].any()


def test_fingerprint_gives_silence_no_weight(encoder, melody):
    waveform = np.concatenate([melody(3, 2), np.zeros(32000, np.float32)])
    _, _, weights = encoder.fingerprint(waveform)[0]
    assert weights[0].any() and not weights[-4:].any()


@pytest.mark.parametrize("seconds", [1.0, 1.13, 3.0])
def test_windows_that_hang_over_a_clip_hear_its_mirror_image(exported, melody, seconds):
    encoder, waveform = Encoder(exported(overhang_s=0.5)), melody(10, seconds)
    longer = np.concatenate([waveform[8000:0:-1], waveform, waveform[-2:-8002:-1]])
    prints = encoder.fingerprint(waveform, phases=4)
    assert [phase_s for phase_s, _, _ in prints] == [-0.5, -0.4375, -0.375, -0.3125]
    for phase_s, codes, _ in prints:
        heard = longer[round((phase_s + 0.5) * 16000) :]
        np.testing.assert_array_equal(codes, encoder.hash(heard))


def test_windows_count_for_less_the_more_they_hang_over(exported, melody):
    encoder, waveform = Encoder(exported(overhang_s=0.5)), melody(11, 2)
    ((_, codes, weights),) = encoder.fingerprint(waveform)
    ((_, own, alone),) = encoder.fingerprint(waveform, plain=True)
    np.testing.assert_array_equal(codes[2:-2], own)
    np.testing.assert_array_equal(alone, encoder.fingerprint(waveform, phases=4, plain=True)[0][2])
    longer = np.pad(waveform, 8000, mode="reflect")
    whole = hashing.reliability(encoder.embed(longer)).astype(float)
    kept = weights.sum(axis=1) / whole.sum(axis=1)
    np.testing.assert_allclose(kept[2:-2], 1)
    np.testing.assert_allclose(kept[[0, 1, -2, -1]], [0.5, 0.707, 0.707, 0.5], atol=0.06)


def test_windows_that_hang_over_are_not_audible_where_the_clip_is_silent(exported, melody):
    encoder = Encoder(exported(overhang_s=0.5))
    silent = np.zeros(32000, np.float32)
    ((_, _, weights),) = encoder.fingerprint(np.concatenate([melody(12, 2), silent]))
    assert weights[0].any() and not weights[-6:].any()


def test_bits_are_weighed_by_the_discriminant_of_the_file(tmp_path, exported, melody):
    path = tmp_path / "model.tflite"
    path.write_bytes(exported())
    waveform = melody(14, 2)
    ((_, codes, alone),) = Encoder(path).fingerprint(waveform)
    heard = (Encoder(path).hash(melody(15, 20)), np.ones(77, bool))
    learnt = Discriminant.learnt([heard], 0.5)
    attached.attach(path, attached.read_metadata(path.read_bytes()), learnt)
    encoder = Encoder(path)
    assert encoder.discriminant.saved() == learnt.saved()
    ((_, own, weights),) = encoder.fingerprint(waveform)
    np.testing.assert_array_equal(own, codes)  # what is looked up are the clip's hashes
    told = encoder.discriminant.told(encoder.embed(waveform))
    np.testing.assert_allclose(
        hashing.signs(codes) * weights, hashing.reliability(told) * np.sign(told)
    )
    ((_, _, plain),) = encoder.fingerprint(waveform, plain=True)
    np.testing.assert_array_equal(plain, alone)


def test_a_clip_shorter_than_a_window_is_refused_however_far_windows_hang_over(exported, melody):
    encoder = Encoder(exported(overhang_s=0.5))
    with pytest.raises(A2VError, match=r"0\.99 s of audio, tiny needs at least 1\.00 s"):
        encoder.fingerprint(melody(13, 0.99))


def test_audible_is_rms_from_silence_on(encoder):
    sine = np.sin(np.arange(16000) * 0.1).astype(np.float32)  # RMS -3 dBFS
    waveform = np.concatenate([sine * 10 ** (-56 / 20), sine * 10 ** (-58 / 20), 0 * sine])
    audible = encoder.audible(waveform)
    assert audible[0] and not audible[4:].any()


def test_shorter_than_window_is_refused(encoder, melody):
    with pytest.raises(A2VError, match=r"0\.50 s of audio, tiny needs at least 1\.00 s"):
        encoder.hash(melody(1, 0.5))
    with pytest.raises(A2VError, match=r"0\.00 s"):
        encoder.hash_blocks(iter([]))


def test_foreign_files_are_refused(tmp_path, tiny_graph, exported):
    def refused(data, words):
        path = tmp_path / "model.tflite"
        path.write_bytes(data)
        with pytest.raises(A2VError, match=words) as caught:
            Encoder(path)
        assert str(path) in str(caught.value)

    refused(b"no model at all", "not a TFLite file")
    refused(b"", "not a TFLite file")
    refused(tiny_graph, "not exported by a2v-export")
    refused(exported()[:-40], "not exported by a2v-export or is damaged")
    newer, older = (exported(format=attached.FORMAT + step) for step in (1, -1))
    refused(newer, "format 3, this a2v reads 2; update a2v")
    refused(older, "format 1, this a2v reads 2; export it, or index, again")
    refused(exported(hop_s=None), "a2v.json lacks hop_s")
    with pytest.raises(A2VError, match="cannot be read"):
        Encoder(tmp_path / "missing.tflite")


def test_broken_graph_is_refused(tmp_path, exported):
    data = bytearray(exported())
    data[:4] = b"\xff\xff\xff\x7f"
    with pytest.raises(A2VError, match="LiteRT cannot run it"):
        Encoder(bytes(data))


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (attached.METADATA_MEMBER, "not exported by a2v-export or is damaged"),
        (attached.DISCRIMINANT_MEMBER, "its discriminant.npz is damaged"),
    ],
)
def test_a_damaged_byte_of_what_is_attached_is_named(member, words, tmp_path, exported, melody):
    path = tmp_path / "model.tflite"
    path.write_bytes(exported())
    heard = (Encoder(path).hash(melody(15, 20)), np.ones(77, bool))
    metadata = attached.read_metadata(path.read_bytes())
    attached.attach(path, metadata, Discriminant.learnt([heard], 0.5))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        found = archive.getinfo(member)
        begin = found.header_offset + 30 + len(member)
    for at in np.linspace(begin, begin + found.compress_size - 9, 7).astype(int):
        broken = data.copy()
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(A2VError, match=rf"model\.tflite: .*{words}"):
            Encoder(path)


def test_threads_that_load_encoders_leave_standard_error_alone(encoder_path):
    code = (
        "import os, sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from a2v.runtime import Encoder\n"
        "before = os.fstat(2)\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    list(pool.map(Encoder, [sys.argv[1]] * 64))\n"
        "assert os.path.samestat(before, os.fstat(2))\n"
        "print('heard', file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, str(encoder_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "heard\n")


def test_an_encoder_goes_to_other_processes_whole(encoder_path, melody):
    encoder = runtime.Encoder(encoder_path)
    copy = pickle.loads(pickle.dumps(encoder))
    assert (copy.name, copy.model_id) == (encoder.name, encoder.model_id)
    np.testing.assert_array_equal(copy.hash(melody(0, 4.0)), encoder.hash(melody(0, 4.0)))
