"""The page of settings and the example file name exactly the variables that the settings read."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")


def _read() -> dict[str, object]:
    """Every variable that settings.py reads, with its default where it is a plain value (else None)."""
    found: dict[str, object] = {}
    for node in ast.walk(ast.parse((ROOT / "exchange" / "settings.py").read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if getattr(node.func.value, "id", None) != "env":
            continue
        default = next((item.value for item in node.keywords if item.arg == "default"), None)
        name = node.args[0]
        assert isinstance(name, ast.Constant)
        found[str(name.value)] = default.value if isinstance(default, ast.Constant) else None
    return found


def _rows(heading: str) -> dict[str, str]:
    section = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    return {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| (.*)$", section, re.MULTILINE)}


def test_the_page_lists_what_the_settings_read_and_nothing_else():
    assert set(_rows("The exchange")) == set(_read())


def test_the_page_gives_the_defaults_of_the_settings():
    rows = _rows("The exchange")
    wrong = [
        name
        for name, default in _read().items()
        if default not in (None, "", False) and f"`{default}`" not in rows[name].split("|")[0]
    ]

    assert wrong == []


def test_the_example_names_only_variables_that_are_read():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#? ?([A-Z_]+)=", text, re.MULTILINE))

    assert {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} <= named <= set(_read())


def test_every_member_of_a_nodes_configuration_is_on_the_page():
    from compute.node import config

    rows = PAGE.split("## A data node")[1]

    known = config._SHAPE | config._OPTIONAL
    assert [name for name in known if f"`{name}`" not in rows and f"`[{name}]" not in rows] == []
