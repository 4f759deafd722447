import contextlib
import http.server
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import wave

import numpy as np
import pytest

from a2v.library import Library

RATE = 16000
# No proxy stands between a test and its own server.
DIRECT = {**os.environ, "no_proxy": "*"}

# Of three tracks chance is known badly, so it takes long to be sure; sooner with this.
SOON = ["--max-false-accepts", 0.5]


@pytest.fixture(scope="module")
def library(melody, write_wav, encoder_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("monitor")
    with Library.create(folder / "music.a2v", encoder_path) as made:
        for seed in range(5):
            made.add(write_wav(folder / f"{seed}.wav", melody(seed, 24)))
    return folder / "music.a2v"


@pytest.fixture(scope="module")
def show(melody):
    """Something unknown, 16 s of the track 1.wav from its second 4 on, something unknown."""
    return np.concatenate([melody(60, 8), melody(1, 24)[4 * RATE : 20 * RATE], melody(61, 16)])


def samples(waveform, kind="<i2"):
    scale = 32767 if kind == "<i2" else 1
    return (np.asarray(waveform) * scale).astype(kind).tobytes()


def wav(waveform, *, announced=None):
    """A WAV file, whose header announces so many bytes of samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples(waveform))
    data = bytearray(file.getvalue())
    if announced is not None:
        data[4:8] = data[40:44] = announced.to_bytes(4, "little")
    return bytes(data)


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def assert_heard(found, *, begin_s=8):
    assert [event["event"] for event in found] == ["began", "ended"]
    assert {event["number"] for event in found} == {1}
    assert {event["track"] for event in found} == {"1.wav"}
    ended = found[1]
    assert ended["query_s"] == pytest.approx([begin_s, begin_s + 16], abs=1.0)
    assert ended["reference_s"] == pytest.approx([4, 20], abs=1.0)
    assert ended["false_accepts"] < 1e-3 and not ended["alternative"]


@contextlib.contextmanager
def started(words, **options):
    """A process whose output is read as it comes; it is killed if a test leaves it running."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0, **options}
    process = subprocess.Popen(words, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def next_event(process, seconds=60):
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    assert ready, "no event came"
    return json.loads(process.stdout.readline())


def ended(process, seconds=60):
    """What a process that is about to end still writes: events, standard error."""
    out, err = process.communicate(timeout=seconds)
    return events(out.decode()), err.decode()


@pytest.fixture
def station():
    """A function: the URL of a server on this machine that answers one request after the other.

    Args:
        answers: list of (status, headers, body); the last one again and again.
    """
    servers = []

    def serve(answers):
        left = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, headers, body = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/show"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("announced", [None, 0, 0xFFFFFFFF])
def test_wav_through_a_pipe_gives_an_event_a_line(library, show, call, announced):
    data = wav(show, announced=announced)
    ran = call("monitor", library, "-", "--json", input=data, text=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    found = events(ran.stdout.decode())
    assert_heard(found)
    assert list(found[0]) == [
        *("event", "number", "time", "track", "path", "query_s", "reference_s", "drift"),
        *("probability", "false_accepts", "bit_error_rate", "alternative"),
    ]


@pytest.mark.parametrize(("kind", "coding"), [("<i2", "s16le"), ("<f4", "f32le")])
def test_raw_samples_through_a_pipe(library, show, call, kind, coding):
    stereo = np.stack([show, 0 * show], axis=1)
    options = ("--raw", coding, "--rate", RATE, "--channels", 2, "--json")
    ran = call("monitor", library, "-", *options, input=samples(stereo, kind), text=False)
    assert ran.returncode == 0
    assert_heard(events(ran.stdout.decode()))


def test_lines_without_json_name_track_and_ranges(library, show, call):
    ran = call("monitor", library, "-", input=wav(show), text=False)
    began, over = ran.stdout.decode().splitlines()
    assert began.startswith("began  ") and over.startswith("ended  ")
    assert "%" in over and over.endswith("1.wav") and "0:08." in over or "0:07." in over


def test_event_is_written_while_the_pipe_is_open(library, show, command):
    data = wav(show)
    with started(
        command("monitor", library, "-", "--json", *SOON), stdin=subprocess.PIPE
    ) as process:
        process.stdin.write(data[: 44 + 2 * 18 * RATE])
        first = next_event(process)
        assert (first["event"], first["track"]) == ("began", "1.wav")
        assert process.poll() is None
        process.stdin.write(data[44 + 2 * 18 * RATE :])
        rest, said = ended(process)
        assert_heard([first, *rest])
        assert (process.returncode, said) == (0, "")


def test_file_is_followed_while_it_grows(library, show, command, tmp_path):
    data, path = wav(show, announced=0), tmp_path / "show.wav"
    path.write_bytes(data[:30])
    words = command("monitor", library, path, "--json", "--give-up", 3)
    with started(words) as process:
        for first in range(30, len(data), 100_000):
            with open(path, "ab") as file:
                file.write(data[first : first + 100_000])
            time.sleep(0.05)
        found, said = ended(process)
        assert_heard(found)
        assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_with_the_open_event(library, show, command, tmp_path, number):
    path = tmp_path / "show.wav"
    path.write_bytes(wav(show[: 20 * RATE]))
    with started(command("monitor", library, path, "--json", *SOON)) as process:
        first = next_event(process)
        assert first["event"] == "began"
        time.sleep(1)
        process.send_signal(number)
        (last,), said = ended(process)
        assert (last["event"], last["track"], last["number"]) == ("ended", "1.wav", 1)
        assert last["query_s"][1] == pytest.approx(20, abs=3)
        assert (process.returncode, said) == (0, "")


def test_signal_before_anything_was_heard_ends_it_quietly(library, command, tmp_path):
    path = tmp_path / "show.wav"
    path.write_bytes(b"")
    program = command("monitor", library, path)
    with started(program) as process:
        # It opens the file once the handlers are there.
        opened = f"/proc/{process.pid}/fd"
        for _ in range(600):
            links = []
            with contextlib.suppress(OSError):
                links = [os.path.realpath(os.path.join(opened, fd)) for fd in os.listdir(opened)]
            if str(path.resolve()) in links:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert ended(process) == ([], "")
        assert process.returncode == 0


def test_reader_that_leaves_ends_it_quietly(library, show, command):
    with started(
        command("monitor", library, "-", "--json", *SOON), stdin=subprocess.PIPE
    ) as process:
        process.stdin.write(wav(show[: 20 * RATE]))
        assert next_event(process)["event"] == "began"
        process.stdout.close()
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


def test_station_that_breaks_off_is_asked_again(library, show, call, station):
    half = 16 * RATE
    rest = wav(show[half:])
    url = station(
        [
            (200, {"Content-Type": "audio/wav"}, wav(show[:half], announced=0xFFFFFFFF)),
            (503, {}, b""),
            (200, {"Content-Length": str(len(rest))}, rest),
        ]
    )
    ran = call("monitor", library, url, "--json", env=DIRECT)
    assert ran.returncode == 0
    assert_heard(events(ran.stdout))
    assert "the connection ended; asking again in 1 s" in ran.stderr
    assert "503" in ran.stderr and "asking again in 2 s" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_station_that_does_not_come_back_is_given_up(library, show, call, station):
    url = station([(200, {}, wav(show)), (404, {}, b"")])
    ran = call("monitor", library, url, "--json", "--give-up", 2, env=DIRECT)
    assert ran.returncode == 0
    assert_heard(events(ran.stdout))
    assert "404" in ran.stderr and "what was heard until then counts" in ran.stderr


def test_station_in_mp3_is_heard(library, show, call, station, tmp_path):
    pytest.importorskip("av")
    import soundfile

    soundfile.write(tmp_path / "show", show, RATE, format="MP3")
    data = (tmp_path / "show").read_bytes()
    url = station([(200, {"Content-Length": str(len(data))}, data)])
    ran = call("monitor", library, url, "--json", env=DIRECT)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert_heard(events(ran.stdout))


def test_station_that_is_not_there_is_named(library, call, station):
    url = station([(404, {}, b"")])
    ran = call("monitor", library, url, env=DIRECT)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"a2v-monitor: {url}: HTTP Error 404" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_mp3_without_a_decoder_names_the_remedy(library, tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"\xff\xfb\x90\x00" + bytes(4000))
    start = (
        "import sys; sys.modules['av'] = None; from a2v.cli import run; sys.exit(run('monitor'))"
    )
    words = [sys.executable, "-c", start, str(library), str(tmp_path / "a.mp3"), "--give-up", "0"]
    env = {**os.environ, "PATH": ""}
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    assert ran.returncode == 2
    assert "pip install 'a2v[aac]'` or ffmpeg" in ran.stderr and "Traceback" not in ran.stderr


def test_microphone_without_its_package_names_the_remedy(library):
    start = "import sys; sys.modules['sounddevice'] = None; from a2v.cli import run;"
    words = [sys.executable, "-c", f"{start} sys.exit(run('monitor'))", str(library), "mic"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "pip install 'a2v[monitor]'" in ran.stderr and ran.stderr.count("\n") == 1


def test_unusable_sources_are_named(library, call, tmp_path):
    ran = call("monitor", library, tmp_path / "x.wav")
    assert ran.returncode == 2 and f"{tmp_path / 'x.wav'}: cannot be read" in ran.stderr
    ran = call("monitor", library, "-", input="")
    assert ran.returncode == 2 and "standard input: empty (0 bytes)" in ran.stderr


@pytest.mark.parametrize(
    "options", [["--raw", "s16le"], ["--rate", 8000], ["--give-up", -1], ["--channels", 0]]
)
def test_wrong_usage_is_refused(library, call, options):
    ran = call("monitor", library, "-", *options, input="")
    assert ran.returncode == 2 and "give " in ran.stderr
