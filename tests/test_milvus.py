import importlib.util

import apart
import pytest

from a2v.errors import A2VError
from a2v.library import Library


@pytest.mark.slow
@pytest.mark.skipif(
    not (importlib.util.find_spec("pymilvus") and importlib.util.find_spec("milvus")),
    reason="pymilvus and milvus are not installed",
)
def test_the_engine_beside_a_real_server():
    apart.run("milvus_cases.py")


def test_milvus_needs_an_address(encoder_path, tmp_path):
    pytest.importorskip("pymilvus")
    Library.create(tmp_path / "l.a2v", encoder_path).close()
    with pytest.raises(A2VError, match="give its server, as in --uri"):
        Library.open(tmp_path / "l.a2v", engine="milvus")


def test_engines_without_a_server_take_no_address(encoder_path, tmp_path):
    Library.create(tmp_path / "l.a2v", encoder_path).close()
    with pytest.raises(A2VError, match="engine exact with uri http://x: it has no server"):
        Library.open(tmp_path / "l.a2v", engine="exact", uri="http://x")
