"""Trust policies as files: which logs, which witnesses, and how many of them must have cosigned.

    log VKEY [URL]
    witness NAME VKEY [URL]
    group NAME all|any|K MEMBER...
    quorum NAME|none

Source: C2SP tlog-policy, https://c2sp.org/tlog-policy. Names are octets: two spellings of one sign differ.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ledger.proofs import checkpoints, cosignatures, notes, tree_heads
from ledger.proofs.errors import VerificationError
from ledger.proofs.tree_heads import Checkpoint

NONE = "none"
MAX_BYTES = 1_000_000
MAX_ITEMS = 1000  # logs, witnesses and groups together; the specification asks for 32 of each

_NUMBER = re.compile(r"[1-9]\d{0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Member:
    """A log or a witness: its vkey and, where it is to be called, its address."""

    vkey: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Witnessed when at least `threshold` of its members, witnesses or earlier groups, are."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """A policy that has been checked; `groups` are in the order of their definition."""

    logs: tuple[Member, ...] = ()
    witnesses: Mapping[str, Member] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NONE

    def check(self, note_bytes: bytes | str) -> Checkpoint:
        """Check a checkpoint: signed by a listed log of its origin, cosigned as the quorum asks.

        Raises:
            VerificationError: `NOTE_INVALID`, `CHECKPOINT_INVALID`, `ORIGIN_UNKNOWN` no listed log has this
                origin, `SIGNATURE_MISSING` the log has not signed, `SIGNATURE_INVALID` a listed log's or
                witness's signature is wrong, `QUORUM_MISSING` too few witnesses have cosigned.
        """
        checkpoint = tree_heads.parse(notes.parse(note_bytes).text)
        keys = [log.vkey for log in self.logs if notes.parse_vkey(log.vkey).name == checkpoint.origin]
        if not keys:
            raise VerificationError("ORIGIN_UNKNOWN", "the policy lists no log with the checkpoint's origin")
        notes.verify(note_bytes, keys=keys)
        self.check_quorum(note_bytes)
        return checkpoint

    def check_quorum(self, note_bytes: bytes | str) -> list[str]:
        """Check the cosignatures only; returns the names of the witnesses that have cosigned.

        Raises:
            VerificationError: as `check`, except for what concerns the log.
        """
        by_key: dict[tuple[str, bytes], list[str]] = {}
        for name, witness in self.witnesses.items():
            key = notes.parse_vkey(witness.vkey)
            by_key.setdefault((key.name, key.key_id), []).append(name)
        held = cosignatures.verify(note_bytes, keys=[witness.vkey for witness in self.witnesses.values()])
        present = [name for found in held for name in by_key[found.name, found.key_id]]
        if not self.is_quorum(present):
            raise VerificationError("QUORUM_MISSING", "too few of the policy's witnesses have cosigned the checkpoint")
        return present

    def is_quorum(self, present: Iterable[str]) -> bool:
        """Whether these witnesses are enough."""
        witnessed = {NONE} | (set(present) & set(self.witnesses))
        for name, group in self.groups.items():
            if sum(member in witnessed for member in group.members) >= group.threshold:
                witnessed.add(name)
        return self.quorum in witnessed


def parse(text: str | bytes) -> LogPolicy:
    """Read a policy file.

    Raises:
        VerificationError: `POLICY_INVALID`, or `KEY_INVALID` for a key that is none or of the wrong type.
    """
    draft = _Draft()
    for line in _lines(text):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if words and not words[0].startswith("#"):
            draft.read(words[0], words[1:])
    return draft.finish()


def format_text(policy: LogPolicy) -> str:
    """The policy's file; reading it back gives the same policy.

    Raises:
        VerificationError: as `parse`, for a policy that cannot be written.
    """
    lines = [_line("log", log.vkey, log.url) for log in policy.logs]
    lines += [_line("witness", name, witness.vkey, witness.url) for name, witness in policy.witnesses.items()]
    lines += [_line("group", name, str(group.threshold), *group.members) for name, group in policy.groups.items()]
    lines.append(_line("quorum", policy.quorum))
    text = "".join(lines)
    if parse(text) != policy:
        raise VerificationError("POLICY_INVALID", "the policy cannot be written")
    return text


def threshold(*, logs: Iterable[str], witnesses: Iterable[str] = (), quorum: int = 0) -> LogPolicy:
    """The policy that asks for any `quorum` of some witnesses, given as vkeys; 0 asks for none.

    Witnesses are named `w1`, `w2` and so on, in the order given.

    Raises:
        VerificationError: `POLICY_INVALID`, such as a quorum larger than the number of witnesses.
    """
    draft = _Draft()
    for vkey in logs:
        draft.read("log", [vkey])
    names = []
    for number, vkey in enumerate(witnesses, start=1):
        names.append(f"w{number}")
        draft.read("witness", [names[-1], vkey])
    if quorum:
        draft.read("group", ["witnesses", str(quorum), *names])
    draft.read("quorum", ["witnesses" if quorum else NONE])
    return draft.finish()


class _Draft:
    """A policy while its lines are read."""

    def __init__(self) -> None:
        self.logs: list[Member] = []
        self.witnesses: dict[str, Member] = {}
        self.groups: dict[str, Group] = {}
        self.quorum = ""
        self._log_keys: set[bytes] = set()
        self._witness_keys: set[bytes] = set()
        self._taken: set[str] = set()

    def read(self, keyword: str, words: list[str]) -> None:
        """Take one line in, already cut into words."""
        if keyword == "log" and len(words) in (1, 2):
            self._log(*words)
        elif keyword == "witness" and len(words) in (2, 3):
            self._witness(*words)
        elif keyword == "group" and len(words) >= 3:
            self._group(words[0], words[1], tuple(words[2:]))
        elif keyword == "quorum" and len(words) == 1:
            self._quorum(words[0])
        else:
            raise VerificationError("POLICY_INVALID", "a line is none of log, witness, group and quorum")
        if len(self.logs) + len(self.witnesses) + len(self.groups) > MAX_ITEMS:
            raise VerificationError("POLICY_INVALID", f"a policy has at most {MAX_ITEMS} logs, witnesses and groups")

    def finish(self) -> LogPolicy:
        """The policy that the lines make."""
        if not self.quorum:
            raise VerificationError("POLICY_INVALID", "a policy has one quorum line")
        return LogPolicy(tuple(self.logs), self.witnesses, self.groups, self.quorum)

    def _log(self, vkey: str, url: str = "") -> None:
        key = checkpoints.parse_vkey(vkey)
        if key.raw in self._log_keys:
            raise VerificationError("POLICY_INVALID", "two logs have the same key")
        self._log_keys.add(key.raw)
        self.logs.append(Member(vkey, url))

    def _witness(self, name: str, vkey: str, url: str = "") -> None:
        self._check_new(name)
        key = cosignatures.parse_vkey(vkey)
        if key.raw in self._witness_keys:
            raise VerificationError("POLICY_INVALID", "two witnesses have the same key")
        self._witness_keys.add(key.raw)
        self.witnesses[name] = Member(vkey, url)

    def _group(self, name: str, wanted: str, members: tuple[str, ...]) -> None:
        self._check_new(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise VerificationError("POLICY_INVALID", "a group's member is not defined on an earlier line")
            if member in self._taken:
                raise VerificationError("POLICY_INVALID", "a name is a group's member twice")
            self._taken.add(member)
        count = {"all": len(members), "any": 1}.get(wanted)
        if count is None:
            if not _NUMBER.fullmatch(wanted) or int(wanted) > len(members):
                raise VerificationError("POLICY_INVALID", "a threshold is all, any, or from 1 to the number of members")
            count = int(wanted)
        self.groups[name] = Group(threshold=count, members=members)

    def _quorum(self, name: str) -> None:
        if self.quorum:
            raise VerificationError("POLICY_INVALID", "a policy has one quorum line")
        if name != NONE and name not in self.witnesses and name not in self.groups:
            raise VerificationError("POLICY_INVALID", "the quorum is not defined on an earlier line")
        self.quorum = name

    def _check_new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise VerificationError("POLICY_INVALID", "a name is defined twice, or is the predefined none")


def _lines(text: str | bytes) -> list[str]:
    """The lines; octets that are no UTF-8 stay what they are."""
    if len(text) > MAX_BYTES:
        raise VerificationError("POLICY_INVALID", f"a policy has at most {MAX_BYTES} bytes")
    whole = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    if any((character < " " and character not in "\t\n") or character == "\x7f" for character in whole):
        raise VerificationError("POLICY_INVALID", "a policy has no control characters but tab and newline")
    return whole.split("\n")


def _line(*words: str) -> str:
    return " ".join(word for word in words if word) + "\n"
