import sys
import types
import warnings

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from a2v import audio, decoding
from a2v.decoding import NATIVE, NATIVE_OF, Unusable
from a2v.errors import A2VWarning
from a2v.windowing import Windower

SUFFIX = {"WAV": "wav", "FLAC": "flac", "MP3": "mp3", "OGG": "ogg"}
needs_native = pytest.mark.skipif(
    decoding.native_operations() is None, reason="tensorflow-io's native operations do not load"
)


def noise(seconds, rate=16000, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    return 0.3 * generator.uniform(-1, 1, (round(seconds * rate), channels))


def written(path, waveform, rate=16000, **options):
    soundfile.write(path, waveform, rate, **options)
    return str(path)


def entry(path, decoder="fastest"):
    return {"path": str(path), **decoding.probe(str(path), native=NATIVE_OF[decoder])}


def streamed(entries, windower, *, jobs=2, downmix="first"):
    """For each entry its windows, or the reason why it has none."""
    results = []
    for _, batches in decoding.stream(entries, windower, downmix=downmix, jobs=jobs):
        try:
            pieces = list(batches)
        except Unusable as reason:
            results.append(str(reason))
            continue
        results.append({n: np.concatenate([p[n] for p in pieces]) for n in windower.names})
    return results


def in_graph(paths, downmix="first"):
    """Decodes through a `tf.data.Dataset`: for each path the decoder and the waveform."""
    entries = [entry(path, "tensorflow-io") for path in paths]
    columns = {key: [e[key] for e in entries] for key in ("path", "rate", "decoder")}

    @tf.autograph.experimental.do_not_convert
    def decode(item):
        return decoding.decode_in_graph(**item, downmix=downmix)

    decoded = list(tf.data.Dataset.from_tensor_slices(columns).map(decode).as_numpy_iterator())
    assert {failure for _, failure in decoded} == {b""}
    return [(e["decoder"], waveform) for e, (waveform, _) in zip(entries, decoded, strict=True)]


@needs_native
@pytest.mark.parametrize("downmix", audio.DOWNMIXES)
def test_native_decoders_agree_with_libsndfile(downmix, tmp_path):
    paths = {}
    for coding in NATIVE:
        container, subtype = coding.split()
        for rate, channels in ((16000, 1), (24000, 1), (44100, 2), (48000, 6)):
            if container != "MP3" or channels <= 2:
                path = tmp_path / f"{coding} {rate} {channels}.{SUFFIX[container]}"
                waveform = noise(1.5, rate, channels)
                written(path, waveform, rate, format=container, subtype=subtype)
                paths[str(path)] = NATIVE[coding]
    for path, (decoder, waveform) in zip(paths, in_graph(paths, downmix), strict=True):
        loaded = audio.load(path, downmix=downmix)
        assert (decoder, len(waveform)) == (paths[path], len(loaded)), path
        np.testing.assert_allclose(waveform, loaded, atol=1e-3, err_msg=path)


@needs_native
def test_native_decoders_agree_with_libsndfile_on_real_music(real_music):
    for path, (decoder, waveform) in zip(real_music, in_graph(real_music), strict=True):
        loaded = audio.load(path)
        assert (decoder, len(waveform)) == ("vorbis", len(loaded))
        np.testing.assert_allclose(waveform, loaded, atol=1e-3)


def test_other_codings_are_decoded_by_libsndfile(tmp_path):
    pcm = written(tmp_path / "a.wav", noise(1.5, 48000), 48000, subtype="PCM_32")
    opus = written(tmp_path / "a.opus", noise(1.5, 48000), 48000, format="OGG", subtype="OPUS")
    for path, (decoder, waveform) in zip((pcm, opus), in_graph([pcm, opus]), strict=True):
        assert decoder == "python"
        np.testing.assert_array_equal(waveform, audio.load(path))


def test_decode_in_graph_runs_eagerly_too(tmp_path):
    path = written(tmp_path / "a.wav", noise(1), subtype="PCM_32")
    args = (tf.constant(path), tf.constant(16000), tf.constant("python"))
    waveform, _ = decoding.decode_in_graph(*args, downmix="first")
    np.testing.assert_array_equal(waveform, audio.load(path))


def test_operations_that_import_but_do_not_run_are_noticed(monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("unable to open file: libtensorflow_io.so")

    broken = types.SimpleNamespace(audio=types.SimpleNamespace(decode_wav=refuse))
    monkeypatch.setitem(sys.modules, "tensorflow_io", broken)
    assert decoding.native_operations.__wrapped__() is None
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    assert decoding.native_operations.__wrapped__() is None


def test_without_native_operations_libsndfile_decodes(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "native_operations", lambda: None)
    path = written(tmp_path / "a.wav", noise(2))
    ((_, waveform),) = in_graph([path])
    np.testing.assert_array_equal(waveform, audio.load(path))


def test_probe_tells_what_the_header_says(tmp_path):
    path = written(tmp_path / "a.wav", noise(2.5, 44100, 2), 44100)
    found = decoding.probe(path, native=frozenset(["wav16"]))
    assert found["seconds"] == 2.5 and found["rate"] == 44100 and found["decoder"] == "wav16"
    assert len(found["sha256"]) == 64
    assert decoding.probe(path)["decoder"] == "python"


def test_probe_gives_reasons(tmp_path):
    (tmp_path / "text.wav").write_text("dear diary" * 100)
    (tmp_path / "empty.wav").touch()
    written(tmp_path / "nothing.wav", np.zeros(0))
    written(tmp_path / "short.wav", noise(0.99))
    for name, reason in {
        "text.wav": "cannot be decoded: damaged, or no audio at all",
        "empty.wav": r"empty file \(0 bytes\)",
        "nothing.wav": "empty: no samples",
        "short.wav": "too short: 0.99 s, one window is 1.0 s",
        "missing.wav": "no such file",
    }.items():
        with pytest.raises(Unusable, match=f"^{reason}$"):
            decoding.probe(str(tmp_path / name))


@pytest.mark.parametrize("jobs", [1, 4])
def test_stream_keeps_the_order(jobs, tmp_path):
    windower = Windower(["waveform"])
    waveforms = [noise(1 + 0.3 * (i % 4), seed=i) for i in range(8)]
    entries = [entry(written(tmp_path / f"{i}.wav", w)) for i, w in enumerate(waveforms)]
    for waveform, got in zip(waveforms, streamed(entries, windower, jobs=jobs), strict=True):
        assert len(got["waveform"]) == windower.count(len(waveform))
        np.testing.assert_allclose(got["waveform"][0][:16000], waveform[:16000, 0], atol=2**-14)


def test_stream_names_reasons_and_goes_on(tmp_path):
    nan = noise(2)
    nan[20000] = np.nan
    entries = [
        entry(written(tmp_path / "good.wav", noise(2))),
        entry(written(tmp_path / "silent.wav", np.zeros(32000))),
        entry(written(tmp_path / "quiet.wav", 0.001 * noise(2), subtype="FLOAT")),
        entry(written(tmp_path / "nan.wav", nan, subtype="FLOAT")),
        entry(written(tmp_path / "gone.wav", noise(2, seed=1))),
        entry(written(tmp_path / "cut.wav", noise(2, seed=2))),
        entry(written(tmp_path / "last.wav", noise(2, seed=3))),
    ]
    (tmp_path / "gone.wav").unlink()
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:3000])
    good, silent, quiet, nan, gone, cut, last = streamed(entries, Windower(["mfcc"]))
    assert silent == "silent: -inf dBFS, below -60"
    assert quiet.startswith("silent: -7")
    assert nan.startswith("sample 20000 (1.25 s) is nan; export")
    assert gone == "no such file"
    assert cut == "too short: 0.09 s, one window is 1.0 s"
    assert len(good["mfcc"]) == len(last["mfcc"]) == 5


@needs_native
def test_files_that_native_decoders_refuse_are_decoded_by_libsndfile(tmp_path):
    entries = []
    for i, coding in enumerate(("WAV PCM_16", "WAV FLOAT", "FLAC PCM_16", "OGG VORBIS")):
        container, subtype = coding.split()
        path = written(tmp_path / str(i), noise(2, seed=i), format=container, subtype=subtype)
        entries += [entry(path, "tensorflow-io"), entry(path) | {"decoder": "mp3"}]  # refused
    odd = written(tmp_path / "odd", noise(2)[:-1], format="WAV", subtype="PCM_U8")
    entries += [entry(odd) | {"decoder": "python"}, entry(odd)]  # odd sizes are refused, too
    assert entries[-1]["decoder"] == "wav8"
    results = streamed(entries, Windower(["mfcc", "waveform"]))
    for native, fallen_back in zip(results[::2], results[1::2], strict=True):
        np.testing.assert_allclose(fallen_back["waveform"], native["waveform"], atol=1e-3)
        assert fallen_back["mfcc"].shape == native["mfcc"].shape


@needs_native
def test_truncated_mp3_is_told_whichever_decoder(tmp_path):
    path = tmp_path / "a.mp3"
    written(path, noise(6, 44100), 44100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    windower, results = Windower(["waveform"]), []
    for decoder in NATIVE_OF:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results += streamed([entry(path, decoder)], windower)
        said = [str(w.message) for w in caught if w.category is A2VWarning]
        assert len(said) == 1 and said[0].startswith(f"{path}: truncated; only the first ")
        np.testing.assert_array_equal(results[-1]["waveform"], results[0]["waveform"])
    assert 5 <= len(results[0]["waveform"]) <= 12


@pytest.mark.parametrize(
    ("seconds", "margin_s", "hop_s"),
    [(5.0, 0.5, 0.25), (5.2, 0.0, 0.75), (9.999, 0.5, 0.75), (12.0, 2.0, 0.25)],
)
def test_long_recordings_give_the_same_windows(seconds, margin_s, hop_s, tmp_path, monkeypatch):
    path = written(tmp_path / "a.wav", noise(seconds, 22050), 22050)
    windower = Windower(["mfcc", "waveform", "chroma"], hop_s=hop_s, margin_s=margin_s)
    (whole,) = streamed([entry(path)], windower)
    monkeypatch.setattr(decoding, "LONG_S", 4.0)
    monkeypatch.setattr(decoding, "PIECE_WINDOWS", 3)
    (in_pieces,) = streamed([entry(path)], windower)
    assert in_pieces["waveform"].tobytes() == whole["waveform"].tobytes()
    # The last bit of a logarithm depends on where in a vector register its argument lies; cepstra
    # are weighed sums of such.
    for name, rounding in (("mfcc", 6e-5), ("chroma", 1e-5)):
        np.testing.assert_allclose(in_pieces[name], whole[name], atol=rounding)


def test_long_recordings_of_no_use_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LONG_S", 4.0)
    monkeypatch.setattr(decoding, "PIECE_WINDOWS", 3)
    nan = noise(9)
    nan[100000] = np.nan
    entries = [
        entry(written(tmp_path / "nan.wav", nan, subtype="FLOAT")),
        entry(written(tmp_path / "silent.wav", np.zeros(9 * 16000))),
        entry(written(tmp_path / "good.wav", noise(9))),
    ]
    nan, silent, good = streamed(entries, Windower(["mfcc"]))
    assert nan.startswith("sample 100000 (6.25 s) is nan")
    assert silent == "silent: -inf dBFS, below -60"
    assert len(good["mfcc"]) == 33
