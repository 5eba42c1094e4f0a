"""What the daemon and the buyer's client load: no numeric library, no engine, no web framework."""

import subprocess
import sys

import pytest

from compute.engines import registry
from compute.engines.errors import FAILURE_CODES, EngineRefused
from compute.protocol import codes, operations

PROBE = """
import sys
for name in ("numpy", "pandas", "spu", "jax", "django", "celery", "rest_framework", "web3"):
    sys.modules[name] = None
from compute.engines import gate, launcher, link, reference, registry
for engine in registry.ids():
    registry.get(engine).card.describe()
"""


def test_engines_are_described_without_any_numeric_library():
    subprocess.run([sys.executable, "-I", "-c", PROBE], check=True, timeout=30)


def test_every_operation_has_its_engine_and_the_reference_is_none():
    assert {operations.get(name).engine for name in operations.OPERATIONS} == set(registry.ids())
    assert all(registry.get(engine).id == engine for engine in registry.ids())
    with pytest.raises(EngineRefused) as refused:
        registry.get("reference/1")
    assert refused.value.code == "ENGINE_UNKNOWN"


def test_a_report_names_protocol_and_versions_and_never_a_trusted_dealer():
    described = registry.describe("aby3_aligned/1")

    assert described["software"]["spu"] == "0.9.5"
    assert "ABY3" in described["protocol"]
    assert "SEMI2K" not in str(described)


def test_every_code_has_its_word_on_the_closed_list():
    assert all(codes.is_known(code) for code in FAILURE_CODES.values())
