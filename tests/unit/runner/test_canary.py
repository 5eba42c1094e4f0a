"""The canary sweep must find what it looks for, or its silence means nothing."""

import base64
import hashlib

import pytest

from exchange.runner import canary

VALUE = "990101198506151234"


@pytest.mark.parametrize(
    ("_case", "content"),
    [
        ("plain", b"x" * 5000 + VALUE.encode() + b"y"),
        ("utf-16", VALUE.encode("utf-16-le")),
        ("hex", VALUE.encode().hex().encode()),
        ("base64 aligned", base64.b64encode(VALUE.encode())),
        ("base64 after one byte", base64.b64encode(b"a" + VALUE.encode() + b"bcd")),
        ("base64 after two bytes", base64.b64encode(b"ab" + VALUE.encode() + b"cd")),
        ("bare MD5", hashlib.md5(VALUE.encode()).hexdigest().encode()),
        ("bare SHA-256 as bytes", hashlib.sha256(VALUE.encode()).digest()),
    ],
)
def test_a_leak_is_found_in_every_form(tmp_path, _case, content):
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal" / "0001").write_bytes(content)

    assert canary.sweep([VALUE], roots=[tmp_path], leave_out=[])


def test_nothing_is_found_where_nothing_is_and_the_nodes_own_disk_is_left_out(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "web.log").write_text("run 01ABC took 1.2 s")
    (tmp_path / "members").mkdir()
    (tmp_path / "members" / "data.csv").write_text(VALUE)

    assert canary.sweep([VALUE], roots=[tmp_path], leave_out=[tmp_path / "members"]) == []
    assert canary.count_files(roots=[tmp_path], leave_out=[tmp_path / "members"]) == 1


def test_chinese_text_is_found_as_text_and_as_a_json_escape(tmp_path):
    (tmp_path / "a").write_text("…金丝雀7f3a…")
    (tmp_path / "b").write_text('{"name":"\\u91d1\\u4e1d\\u96c07f3a"}')

    assert {hit.path.name for hit in canary.sweep(["金丝雀7f3a"], roots=[tmp_path], leave_out=[])} == {"a", "b"}
