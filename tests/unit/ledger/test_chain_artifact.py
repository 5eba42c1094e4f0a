"""The committed artifact is this source, compiled by the pinned compiler."""

import hashlib
import importlib.util
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ledger.chain import ARTIFACT_PATH, SOURCE_PATH, artifact

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "compile-chain"


def test_the_artifact_names_the_source_it_was_made_from():
    assert artifact()["source_sha256"] == hashlib.sha256(SOURCE_PATH.read_bytes()).hexdigest()
    assert (artifact()["compiler"], artifact()["evm_version"]) == ("vyper 0.4.3", "london")


def test_the_code_fits_every_chain():
    code = bytes.fromhex(artifact()["bytecode_runtime"][2:])
    assert 1000 < len(code) < 24_576  # EIP-170
    assert artifact()["bytecode"].count(artifact()["bytecode_runtime"][2:]) == 1


@pytest.mark.skipif(
    importlib.util.find_spec("vyper") is None or version("vyper") != "0.4.3",
    reason="vyper 0.4.3 is not installed: its pins exclude it from the run-time environment (group `chain`)",
)
def test_compiling_again_gives_the_same_bytes():
    before = ARTIFACT_PATH.read_bytes()
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], check=False)
    assert done.returncode == 0
    assert ARTIFACT_PATH.read_bytes() == before
