"""The noise of each paid query: drawn once, kept encrypted, and handed to every run of the same query.

Whoever asks the same again gets the same noise, so that averaging a hundred answers tells no more than one. The noise
is drawn by OpenDP in a process of its own, after the spending stands in the store and not before; two runs at the same
time keep the first that was written. Sealed under `noise.key`, a file of the node's own: a copy of the database alone
does not take the noise off published answers. (On the node's disk the rows lie beside both, in the clear.)

Not derived from a secret by a formula: OpenDP's samplers take no seed, and a sampler of our own would be one more
thing to trust.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from compute.engines import metadata
from compute.engines.errors import EngineRefused
from compute.engines.privacy import noised, sensitivity
from compute.node import withholding
from compute.node.admission import Case
from compute.node.budget import Spending, is_paid
from compute.node.partitions import OWN_BLOCKS
from compute.node.store import Store
from compute.node.verdicts import FIXED_BLOCKS
from compute.protocol import privacy
from compute.protocol.codes import Refused

KEY_FILE = "noise.key"
DRAW_SECONDS = 60
_NONCE_BYTES = 12

Draw = Callable[[Mapping[str, Any]], list[list[int]]]


def prepare(case: Case, *, into: Path, wait: Callable[[], None] = lambda: None) -> None:
    """Put into an admitted job's directory what the gate gives it: noise, or the blocks that it withholds."""
    if case.dataset is None or case.verdict is None:
        return
    if case.verdict.tier == FIXED_BLOCKS:
        withholding.prepare(
            case.dataset,
            columns=[use.column for use in case.verdict.uses if use.partition == OWN_BLOCKS],
            connection=case.store.connection(),
            root=case.config.datasets,
            min_group=case.config.min_group,
            into=into,
            wait=wait,
        )
        return
    place(
        case.request["parameters"],
        description=case.dataset,
        wanted=case.verdict.spending,
        store=case.store,
        home=case.config.home,
        into=into,
    )


def place(
    parameters: Mapping[str, Any],
    *,
    description: Mapping[str, Any],
    wanted: Spending | None,
    store: Store,
    home: Path,
    into: Path,
    draw: Draw | None = None,
) -> None:
    """Put the noise of a query that was paid for into its run's directory; a reviewed query's noise is zeros.

    Raises:
        Refused: `REQUEST_MISMATCH` nobody has paid for it; `ENGINE_FAILED` it could not be drawn or opened.
    """
    try:
        plan = sensitivity.plan(metadata.from_schema(description), parameters)
    except EngineRefused as refused:
        raise Refused(refused.failure_code) from refused
    if plan.mechanism == privacy.REVIEWED:
        content = {"plan": plan.describe(), "noise": [[0] * len(plan.labels)] * len(plan.components)}
    elif wanted is None or not is_paid(store.connection(), wanted):
        raise Refused("REQUEST_MISMATCH")
    else:
        content = _kept(plan, wanted, store=store, key=_key(home), draw=draw or drawn_apart)
    with os.fdopen(os.open(into / noised.NOISE_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)


def drawn_apart(plan: Mapping[str, Any]) -> list[list[int]]:
    """Draw in a process of its own: the daemon loads neither OpenDP nor numpy."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "compute.engines.privacy.noise"],
            input=json.dumps(plan).encode(),
            capture_output=True,
            timeout=DRAW_SECONDS,
            check=True,
        )
        noise: list[list[int]] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise Refused("ENGINE_FAILED") from None
    return noise


def _kept(plan: sensitivity.Plan, wanted: Spending, *, store: Store, key: bytes, draw: Draw) -> dict[str, Any]:
    """The noise as it was first written; drawn now if it never was."""
    place = (wanted.commitment, wanted.query)
    bound = f"{wanted.commitment} {wanted.query}".encode()
    if _row(store, place) is None:
        content = json.dumps({"plan": plan.describe(), "noise": draw(plan.describe())}).encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = base64.b64encode(nonce + ChaCha20Poly1305(key).encrypt(nonce, content, bound)).decode()
        with store.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO noises VALUES (?, ?, ?)", (*place, sealed))
    row = _row(store, place)
    try:
        data = base64.b64decode(row or "")
        found: dict[str, Any] = json.loads(
            ChaCha20Poly1305(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound)
        )
    except (InvalidTag, ValueError):
        raise Refused("ENGINE_FAILED") from None  # never drawn anew: that would be a second answer for one price
    return found


def _row(store: Store, place: tuple[str, str]) -> str | None:
    row = (
        store.connection().execute("SELECT sealed FROM noises WHERE commitment_hex = ? AND query = ?", place).fetchone()
    )
    return None if row is None else str(row[0])


def _key(home: Path) -> bytes:
    """The node's own noise key, made at first use; written whole before it has its name."""
    path = home / KEY_FILE
    if not path.exists():
        fresh = home / f".{KEY_FILE}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # fails where another run was first: then its key counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()
