"""Objections to this node's records: fetched sealed, opened here, marked for the engines, answered to the person.

`objections/<reference>.json` in the node's directory holds an objection as the exchange handed it over, still sealed,
and its state as far as this node knows; `<reference>.answer.json` the signed and sealed answer, which is written once
and sent until the exchange has it. The mark itself lies with the engines (`compute.engines.scoring.disputes`): it is
set before the exchange is told of it, and taken away only after the exchange has the answer, so that whatever dies in
between, a disputed record is never shown as undisputed.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from compute.engines import keeping
from compute.engines.scoring import disputes, kept
from compute.node.client import ExchangeClient
from compute.node.config import Config
from compute.node.errors import NodeError
from compute.node.store import Store
from compute.protocol import objections, shapes
from compute.protocol.keyfiles import KeyFile
from exchange.kernel import identifiers
from ledger.proofs import canonical, statements

FOLDER = "objections"
STATE = "engine_state"  # below the node's directory; `compute.node.runs` gives it to engines
MAX_PAGES = 200

Document = dict[str, Any]

_FETCHED = shapes.members(
    {
        "objection": shapes.urn("objection"),
        "computation": shapes.urn("computation"),
        "token_digest": shapes.HEX64,
        "sealed": shapes.pattern(r"[A-Za-z0-9+/=]+", "base64", high=2 * max(objections.SEALED_SIZES)),
        "state": shapes.choice("filed", "marked", "answered"),
        "filed": shapes.time,
        "last_day": shapes.pattern(r"\d{4}-\d\d-\d\d", "a day"),
    }
)


class ObjectionNotOpen(NodeError):
    """There is no such objection here, or this step cannot be taken."""

    code = "OBJECTION_NOT_OPEN"


@dataclass(slots=True)
class Desk:
    """This node's side of objections.

    Args:
        keys: in force, they sign; opening: those that objections were sealed to, older ones after a rotation.
    """

    config: Config
    keys: KeyFile
    opening: KeyFile
    store: Store
    client: ExchangeClient
    clock: Callable[[], datetime]

    def fetch(self) -> list[Document]:
        """Ask the exchange what waits, keep it, and return all that is kept, the nearest last day first."""
        after: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            answer = self.client.call("objections", after)
            page = answer.get("objections", [])
            for item in page if isinstance(page, list) else []:
                _FETCHED(item, "objection")
                self._keep(item)
                after = {"after": item["objection"]}
            if answer.get("is_all") is not False or not page:
                break
        return self.kept()

    def kept(self) -> list[Document]:
        """What is kept here without asking anybody, the nearest last day first."""
        paths = [path for path in self._folder.glob("*.json") if not path.name.endswith(".answer.json")]
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return sorted(found, key=lambda item: (item["state"] == "answered", item["last_day"], item["objection"]))

    def read(self, ref: str) -> Document:
        """One objection, opened: who objects and to what. Stays on this machine.

        Raises:
            ObjectionNotOpen: it is not kept here; VerificationError, DocumentInvalid: it is not for this node.
        """
        item = self._item(ref)
        return objections.open_objection(
            _bytes(item["sealed"]),
            token_digest=item["token_digest"],
            computation=item["computation"],
            organization=self.config.organization,
            key=self.opening.sealing,
        )

    def mark(self, ref: str) -> None:
        """Mark the record as disputed from the next run on, then tell the exchange. Idempotent until answered.

        Raises:
            ObjectionNotOpen: it has been answered.
        """
        item, document = self._item(ref), self.read(ref)
        if item["state"] == "answered":
            raise ObjectionNotOpen(
                "This objection has been answered; its mark is gone.", zh="该异议已答复，标注已撤除。"
            )
        disputes.mark(self._engines, document["identifier"], objection=_reference(item))
        self.client.call("mark_objection", {"objection": item["objection"]})
        self._move(item, "marked")

    def answer(self, ref: str, *, outcome: str, text: str) -> None:
        """Sign and seal the answer, hand it in, and take the mark away. Repeated, it sends the first answer again.

        Raises:
            ObjectionNotOpen: the record is not marked yet, or another answer is on its way.
            DocumentInvalid: the text is empty or too long.
        """
        item, path = self._item(ref), self._folder / f"{ref}.answer.json"
        if item["state"] == "filed":
            raise ObjectionNotOpen(
                "The record is not marked yet; run: hengshu-node objection mark",
                zh="记录尚未标注；请先运行 hengshu-node objection mark。",
            )
        made = json.loads(path.read_text(encoding="utf-8")) if path.exists() else self._made(item, outcome, text)
        if (made["outcome"], made["text"]) != (outcome, text):
            raise ObjectionNotOpen(
                "Another answer to this objection has been signed; an answer is not changed afterwards.",
                zh="对该异议已签署另一答复；答复不可更改。",
            )
        _write(path, canonical.encode(made))
        body = {name: made[name] for name in ("objection", "outcome", "sealed_answer")}
        self.client.call("answer_objection", body)
        disputes.clear(self._engines, objection=_reference(item))
        self._move(item, "answered")

    @property
    def _folder(self) -> Path:
        return self.config.home / FOLDER

    @property
    def _engines(self) -> Path:
        return self.config.home / STATE / kept.COMMON

    def _keep(self, item: Document) -> None:
        """Keep what is new; what is known goes on by our own steps, unless the exchange is ahead of us."""
        path = self._path(_reference(item))
        if not path.exists() or json.loads(path.read_text(encoding="utf-8"))["state"] == "filed":
            _write(path, canonical.encode(item))

    def _item(self, ref: str) -> Document:
        try:
            shapes.urn("objection")(objections.make_urn(ref), "objection")
            found: Document = json.loads(self._path(ref).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ObjectionNotOpen(
                "No objection of this reference is kept here; run: hengshu-node objection list",
                zh="本节点没有此编号的异议；请先运行 hengshu-node objection list。",
            ) from None
        return found

    def _made(self, item: Document, outcome: str, text: str) -> Document:
        to, now = self.read(_reference(item))["answer_key"], self.clock()
        document = objections.answer(
            objection=item["objection"],
            organization=self.config.organization,
            outcome=outcome,
            text=text,
            created=now,
        )
        signed = statements.sign(document, key=self.keys.document, created=shapes.write_time(now))
        sealed = objections.seal_answer(signed, to=to, token_digest=item["token_digest"])
        return {
            "objection": item["objection"],
            "outcome": outcome,
            "text": text,
            "sealed_answer": base64.b64encode(sealed).decode(),
        }

    def _move(self, item: Document, state: str) -> None:
        _write(self._path(_reference(item)), canonical.encode({**item, "state": state}))
        if item["state"] != state:
            self.store.note(f"objection.{state}", objection=item["objection"])

    def _path(self, ref: str) -> Path:
        return self._folder / f"{ref}.json"


def _reference(item: Document) -> str:
    return identifiers.parse_urn(item["objection"], kind="objection")


def _write(path: Path, data: bytes) -> None:
    """A file that only the node's user reads, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    keeping.write(whole, data)
    whole.replace(path)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise shapes.refuse("sealed", "must be base64") from None
