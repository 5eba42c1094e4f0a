"""What both sides of a private look-up agree on before and around the protocol: papers, names, messages."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compute.engines import link
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused
from compute.protocol import letters
from ledger.proofs import canonical, statements

RESULT_TYPE = "private_lookup/v1"
REQUESTER, OWNER = 0, 1
APPROVED, RELEASES = "approved", "releases"  # directories of the requester's engine
FRAME_BYTES = 32 * 1024 * 1024
_TABLE_FORM = "encrypted_table/1"  # another form is another table, under another key

Document = dict[str, Any]


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn a paper that does not count into a refusal of the run."""
    try:
        yield
    except letters.LetterInvalid as invalid:
        raise EngineRefused(invalid.code, invalid.message) from None


def put_approved(state: Path, document: Mapping[str, Any]) -> Path:
    """Lay a signed approved list where the requester's engine finds it, at the requester's own node."""
    return _put(state / APPROVED / f"{statements.digest(document)}.json", document)


def put_release(state: Path, document: Mapping[str, Any]) -> Path:
    """Lay one officer's signed release where the requester's engine finds it."""
    name = f"{document['request_digest']}-{statements.digest(document)[:16]}.json"
    return _put(state / RELEASES / name, document)


def read_approved(context: StageContext) -> frozenset[str]:
    """The approved persons of this request; EngineRefused TARGET_NOT_APPROVED without a list that counts."""
    digest = context.parameters["approved"]
    path = _state(context) / APPROVED / f"{digest}.json"
    with refusals():
        return letters.approved_persons(_read(path), letter=context.parameters["letter"], digest=digest)


def read_releases(context: StageContext) -> list[Any]:
    """The releases of this request that lie here; EngineRefused RELEASE_MISSING without two that count."""
    paths = sorted((_state(context) / RELEASES).glob(f"{statements.digest(context.request)}-*.json"))
    found = [_read(path) for path in paths]
    check_releases(found, context)
    return found


def check_releases(found: Any, context: StageContext) -> None:
    """EngineRefused RELEASE_MISSING unless two officers of the letter have released this request."""
    with refusals():
        letters.check_releases(found, request=context.request)


def table_name(job: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """What a table and its key are for: data version, key column and columns told; 64 hex characters."""
    return canonical.digest(
        {
            "form": _TABLE_FORM,
            "commitment": job["parties"][OWNER]["dataset_commitment"],
            "key": parameters["key"],
            "columns": list(parameters["columns"]),
        }
    )


def exchange(mesh: link.Mesh, peer: int, message: bytes) -> bytes:
    """Send the other side a message and take its own."""
    return mesh.exchange({peer: message})[peer]


def _state(context: StageContext) -> Path:
    if context.state is None:
        raise EngineRefused("ENGINE_ERROR", "This node keeps nothing for engines; update it.")
    return context.state


def _put(path: Path, document: Mapping[str, Any]) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dict(document), ensure_ascii=False), encoding="utf-8")
    temporary.chmod(0o600)
    return temporary.replace(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
