"""A witness at work: one request, one transaction, one answer.

The old size is compared and the new checkpoint stored in one transaction, which is on the disk before a
cosignature leaves. After a kill in between, the log's next request gets 409 with the new size, and the
same checkpoint again from there gets its cosignature.
"""

import base64
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.proofs import notes
from ledger.witness import rules
from ledger.witness.keys import WitnessKeys
from ledger.witness.rules import Answer, Held, Kind, Refusal, Submission
from ledger.witness.state import Conflict, State

log = logging.getLogger("hengshu.witness")

SIGNATURES_TYPE = rules.TEXT_TYPE


@dataclass(frozen=True, slots=True)
class Witness:
    """The parts of a witness.

    Args:
        logs: the vkeys trusted for each origin; several where a log has several keys or changed one.
        clock: POSIX time in seconds; the time stated for a log never goes back, whatever the clock does.
    """

    keys: WitnessKeys
    logs: Mapping[str, Collection[str]]
    state: State
    clock: Callable[[], int]

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one add-checkpoint request: 200 with cosignature lines, or a refusal.

        Idempotent: the checkpoint held, sent with its own size as the old one, is cosigned again.
        """
        try:
            submission = rules.parse(body)
            rules.check_signature(submission, logs=self.logs)
            return self._cosign(submission)
        except Refusal as refusal:
            return refusal.answer

    def _cosign(self, submission: Submission) -> Answer:
        refusal: Refusal | None = None
        origin = submission.checkpoint.origin
        with self.state.transaction():
            held = self.state.held(origin)
            kind = rules.evidence(submission, held=held)
            if kind is not None:
                self._keep(submission, held=held, kind=kind)
            try:
                rules.check_successor(submission, held=held)
            except Refusal as found:
                refusal = found  # the evidence must be committed before it is told
            else:
                at = max(self.clock(), held.at)
                lines = self.keys.cosign(submission.text, at=at)
                note = self._note(submission, lines)
                self.state.hold(origin, Held(submission.checkpoint.size, submission.checkpoint.root, note, at))
        if refusal is not None:
            raise refusal
        return Answer(200, SIGNATURES_TYPE, "".join(f"{line}\n" for line in lines).encode())

    def checkpoint(self, origin: str) -> str | None:
        """The last checkpoint cosigned for a log, with the log's and our signatures; None before the first."""
        return self.state.held(origin).note or None

    def status(self) -> dict[str, Any]:
        """What anybody may know: names, keys, the latest sizes, and how much evidence there is against each log."""
        return {
            "type": rules.STATUS_TYPE,
            "name": self.keys.name,
            "keys": list(self.keys.vkeys),
            "logs": [self._log_status(origin) for origin in sorted({*self.logs, *self.state.origins()})],
        }

    def _log_status(self, origin: str) -> dict[str, Any]:
        held = self.state.held(origin)
        contradictions, unproven = self.state.count_conflicts(origin)
        return {
            "origin": origin,
            "size": held.size if held.note else None,
            "root": base64.b64encode(held.root).decode() if held.note else None,
            "cosigned_at": held.at if held.note else None,
            "contradictions": contradictions,
            "unproven": unproven,
        }

    def _note(self, submission: Submission, lines: Collection[str]) -> str:
        """The checkpoint with the log's signatures that were checked and our own; others are left out."""
        known = {(key.name, key.key_id) for key in map(notes.parse_vkey, self.logs[submission.checkpoint.origin])}
        kept = [
            notes.format_line(signature)
            for signature in notes.parse(submission.note).signatures
            if (signature.name, signature.key_id) in known
        ]
        text = submission.text
        return notes.add_signatures(f"{text}\n{kept[0]}\n", [*kept[1:], *lines])

    def _keep(self, submission: Submission, *, held: Held, kind: Kind) -> None:
        shown = submission.checkpoint
        conflict = Conflict(
            origin=shown.origin,
            kind=kind,
            held_size=held.size,
            held_note="" if kind is Kind.EMPTY_ROOT else held.note,
            shown_size=shown.size,
            shown_root=shown.root,
            shown_note=submission.note,
            proof="".join(f"{base64.b64encode(value).decode()}\n" for value in submission.proof),
            seen_at=self.clock(),
        )
        if self.state.keep(conflict):
            log.warning("%s: %s at size %d, evidence kept", shown.origin, kind.value, shown.size)
