"""Both sides of `ub_psi/1` in SecretFlow's library; what is kept, and for how long, is said in `membership`."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spu.libspu as libspu
import spu.psi as psi

from compute.engines import greeting, identifiers, keeping, link, loading, spu_links, spu_matching
from compute.engines.base import StageContext
from compute.engines.membership import PROVIDER, REQUESTER
from compute.engines.metadata import DatasetMeta

TRANSFER_STAGE, ONLINE_STAGE = 1, 2
_RANKS = (REQUESTER, PROVIDER)
_READY = "ready.json"  # written last


def serve(context: StageContext, mesh: link.Mesh, meta: DatasetMeta) -> None:
    """The provider's side: make the cache where there is none, deliver it where it is not, answer one list."""
    directory = _directory(context)
    if not (directory / _READY).exists():
        _make(context, meta, directory)
    made = json.loads((directory / _READY).read_text())
    asked = greeting.tell(mesh, REQUESTER, made)
    context.progress("match", 40)
    if asked.get("have") != made["id"]:
        _execute(
            psi.UbPsiMode.MODE_OFFLINE_TRANSFER_CACHE, directory, _connect(context, TRANSFER_STAGE), is_server=True
        )
    context.progress("match", 70)
    _execute(psi.UbPsiMode.MODE_ONLINE, directory, _connect(context, ONLINE_STAGE), is_server=True)


def ask(context: StageContext, mesh: link.Mesh, meta: DatasetMeta) -> bytes:
    """The requester's side; a bit for each of its rows, as many as the magnitude of its table."""
    directory = _directory(context)
    kept = directory / _READY
    have = json.loads(kept.read_text())["id"] if kept.exists() else ""
    made = greeting.tell(mesh, PROVIDER, {"have": have})
    try:
        name, salt = str(made["id"]), bytes.fromhex(made["salt"])
    except (KeyError, TypeError, ValueError):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.") from None
    keys = _keys(context, meta, salt)
    source, target = context.work_dir / "keys.csv", context.work_dir / "matched.csv"
    spu_matching.write(source, keys)
    context.progress("match", 40)
    if have != name:
        shutil.rmtree(directory)
        directory.mkdir(mode=0o700)
        connection = _connect(context, TRANSFER_STAGE)
        _execute(psi.UbPsiMode.MODE_OFFLINE_TRANSFER_CACHE, directory, connection, source=source)
        keeping.write(kept, json.dumps({"id": name}).encode())
    context.progress("match", 70)
    _execute(psi.UbPsiMode.MODE_ONLINE, directory, _connect(context, ONLINE_STAGE), source=source, target=target)
    bits = bytearray(meta.magnitude // 8 + 1)
    for row in spu_matching.find(keys, target).tolist():
        bits[row // 8] |= 1 << row % 8
    return bytes(bits)


def _make(context: StageContext, meta: DatasetMeta, directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    salt = secrets.token_bytes(greeting.KEY_BYTES)
    keeping.write(directory / "key.bin", secrets.token_bytes(32))
    spu_matching.write(directory / "keys.csv", _keys(context, meta, salt))
    alone = libspu.link.Desc()
    alone.add_party("alone", "alone")  # the library wants a link even where nobody else takes part
    connection = libspu.link.create_mem(alone, 0)
    _execute(psi.UbPsiMode.MODE_OFFLINE_GEN_CACHE, directory, connection, is_server=True)
    made = {"id": secrets.token_hex(16), "salt": salt.hex()}
    keeping.write(directory / _READY, json.dumps(made).encode())


def _execute(
    mode: psi.UbPsiMode,
    directory: Path,
    connection: Any,
    *,
    is_server: bool = False,
    source: Path | None = None,
    target: Path | None = None,
) -> None:
    options: dict[str, Any] = {}
    if is_server:
        options["server_params"] = psi.UbPsiServerParams(secret_key_path=str(directory / "key.bin"))
    psi.ub_psi_execute(
        psi.UbPsiExecuteConfig(
            mode=mode,
            role=psi.UbPsiRole.ROLE_SERVER if is_server else psi.UbPsiRole.ROLE_CLIENT,
            cache_path=str(directory / "cache"),
            client_receive_result=True,
            server_receive_result=False,
            input_params=psi.InputParams(
                path=str(source or directory / "keys.csv"), selected_keys=[spu_matching.KEY], keys_unique=True
            ),
            output_params=psi.OutputParams(path=str(target or directory / "unused.csv")),
            **options,
        ),
        connection,
    )


def _connect(context: StageContext, stage: int) -> Any:
    return spu_links.connect(context, stage, ranks=_RANKS)


def _directory(context: StageContext) -> Path:
    """One for each (version of the table, other party)."""
    parties: Sequence[Any] = context.job["parties"]
    other = parties[1 - context.rank].get("organization", "")
    name = f"{parties[PROVIDER].get('dataset_commitment', '')} {other}"
    return keeping.directory(context, hashlib.sha256(name.encode()).hexdigest())


def _keys(context: StageContext, meta: DatasetMeta, salt: bytes) -> spu_matching.Words:
    parts = [
        b"".join(identifiers.keyed(chunk.ids or (), salt))
        for chunk in loading.chunks(context.own_dataset, meta, values=[], blocks=False, ids=True)
    ]
    return np.frombuffer(b"".join(parts), dtype=">u8").reshape(-1, 2)
