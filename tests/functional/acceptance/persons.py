"""A data subject with a device of its own: no account, no organisation, only the command line and a notice card."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_HENGSHU = Path(sys.executable).with_name("hengshu")


@dataclass
class Person:
    """Somebody who asks the exchange at `url` from a directory of its own."""

    folder: Path
    url: str
    public_key: str = field(init=False)

    def __post_init__(self) -> None:
        self.public_key = self.run("subject", "card", "--out", str(self.card))["notice_key"]

    @property
    def card(self) -> Path:
        return self.folder / "notice-card.json"

    def run(self, *arguments: str, stdin: str = "") -> Any:
        """One command, as the person types it; the JSON it prints."""
        command = [str(_HENGSHU), "--json", "--home", str(self.folder), "--url", self.url, *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HENGSHU_")}
        done = subprocess.run(
            command, capture_output=True, env=environment, input=stdin.encode(), timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def runs(self) -> list[dict[str, Any]]:
        """The runs that used this person's data, newest first."""
        found: list[dict[str, Any]] = self.run("subject", "runs", "--card", str(self.card))["runs"]
        return found
