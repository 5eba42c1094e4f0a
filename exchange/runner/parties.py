"""The people and machines of the demo as the runner drives them: their command lines and their API sessions.

A party's command line runs as a process of its own with its own home directory, as it would on its
own machine; nothing of the exchange's environment reaches it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchange.client.api import Api
from exchange.runner.stack import Stack
from exchange.runner.world import PASSWORD, Member

_BIN = Path(sys.executable).parent
_SECONDS = 120


class StepFailed(RuntimeError):
    """A step of the story was refused; the message names the step, the code and the sentence."""


@dataclass(slots=True)
class Parties:
    """Everybody's way to act on one stack."""

    stack: Stack
    _sessions: dict[str, Api] = field(default_factory=dict)

    def cli(self, member: Member, *arguments: str, stdin: str = "") -> Any:
        """Run `hengshu` on a member's machine; the JSON it prints."""
        home = self.stack.member(member.code) / "client"
        command = [str(_BIN / "hengshu"), "--json", "--home", str(home), "--url", self.stack.url, *arguments]
        return _run(command, cwd=self.stack.member(member.code), stdin=stdin)

    def verify(self, member: Member, receipt: Path) -> dict[str, str]:
        """Run `hengshu verify` on a receipt with no address of any exchange; each check's answer, {} if refused."""
        home = self.stack.member(member.code) / "client"
        command = [str(_BIN / "hengshu"), "--json", "--home", str(home), "verify", str(receipt)]
        finished = subprocess.run(command, capture_output=True, env=_environment(), timeout=_SECONDS, check=False)
        if finished.returncode != 0:
            return {}
        return {check["name"]: check["status"] for check in json.loads(finished.stdout)["checks"]}

    def node_cli(self, member: Member, *arguments: str) -> Any:
        """Run `hengshu-node` on a member's node directory; the JSON it prints."""
        home = self.stack.member(member.code) / "node"
        command = [str(_BIN / "hengshu-node"), "--json", "--home", str(home), *arguments]
        return _run(command, cwd=self.stack.member(member.code))

    def session(self, username: str, *, again: bool = False) -> Api:
        """A signed-in API session of a person; `again` signs in anew, after roles have changed."""
        if again or username not in self._sessions:
            body = {"username": username, "password": PASSWORD}
            answer = Api(self.stack.url).post("login/", body)
            self._sessions[username] = Api(self.stack.url, token=answer["token"])
        return self._sessions[username]


def _run(command: Sequence[str], *, cwd: Path, stdin: str = "") -> Any:
    cwd.mkdir(parents=True, exist_ok=True, mode=0o700)
    finished = subprocess.run(
        command, capture_output=True, text=True, input=stdin, cwd=cwd, env=_environment(), timeout=_SECONDS, check=False
    )
    if finished.returncode != 0:
        step = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        said = (finished.stderr.strip() or finished.stdout.strip())[-800:]
        raise StepFailed(f"{step}\n  {said}")
    return json.loads(finished.stdout) if finished.stdout.strip() else None


def _environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}
