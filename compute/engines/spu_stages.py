"""The two stages that run in SecretFlow's libraries: matching (PSI) and the circuit (SPU, ABY3).

Measured ground for the choices below: TLS is checked only from `verify_depth` 1 on; pinning is a trust file
with exactly the peers' certificates; linking is retried after 1, 3 and 5 seconds, so a receive may wait 30;
three parties call `barrier` first; a survivor of a lost peer is aborted by the library, which is why the
mesh is watched besides. SEMI2K is never used: its default dealer is a trusted first party.
"""

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import spu
import spu.libspu as libspu
import spu.psi as psi
from numpy.typing import NDArray

from compute.engines import gate, launcher
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused, LinkLost

if TYPE_CHECKING:
    from compute.engines.aligned import Shape

PSI_STAGE, SPU_STAGE = 1, 2
_RECEIVE_SECONDS = 60
_KEY_COLUMN = "key"

Int64 = NDArray[np.int64]

_open_links: list[Any] = []


def leave_as_lost(context: StageContext) -> Callable[[], None]:
    """What the mesh's watch does when a peer hangs up: end this process at once, with its code.

    The libraries would notice only after their own receive timeout, and then abort.
    """

    def leave() -> None:
        temporary = context.work_dir / "lost.tmp"
        temporary.write_text(json.dumps({"ok": False, "code": "PEER_LOST"}))
        temporary.replace(context.work_dir / "result.json")
        os._exit(0)

    return leave


def match(context: StageContext, keys: Sequence[str]) -> tuple[Int64, str]:
    """Find the keys that both owners hold, in one order common to both.

    Shapes: keys (n,) distinct; result (m,) positions in `keys`.
    Returns: the positions, and a digest of the matched keys in order, to compare with the other owner.
    Privacy: both owners learn the matching keys and each other's n.
    Source: Rindal and Raghuraman, Blazing Fast PSI, CCS 2022 (RR22, semi-honest).
    """
    place = {key: number for number, key in enumerate(keys)}
    if len(place) != len(keys):
        raise EngineRefused("ENGINE_ERROR", "Two ids of the dataset are the same; add the dataset again.")
    # The library writes beside its input, so everything lies in the run's private directory.
    source, target = context.work_dir / "keys.csv", context.work_dir / "matched.csv"
    source.write_text("\n".join([_KEY_COLUMN, *keys]) + "\n")
    try:
        _execute(source, target, _connect(context, PSI_STAGE, ranks=(0, 1)))
    finally:
        launcher.remove_traces(context.work_dir)
    lines = target.read_text().splitlines()[1:] if target.exists() else []
    matched = sorted(line.strip('"') for line in lines)
    source.unlink()
    target.unlink(missing_ok=True)
    digest = hashlib.sha256("\n".join(matched).encode()).hexdigest()
    return np.array([place[key] for key in matched], dtype=np.int64), digest


def _execute(source: Path, target: Path, connection: Any) -> None:
    psi.psi_execute(
        psi.PsiExecuteConfig(
            protocol_conf=psi.PsiProtocolConfig(
                protocol=psi.PsiProtocol.PROTOCOL_RR22, receiver_rank=0, broadcast_result=True
            ),
            input_params=psi.InputParams(path=str(source), selected_keys=[_KEY_COLUMN], keys_unique=True),
            output_params=psi.OutputParams(path=str(target)),
        ),
        connection,
    )


def released_blocks(blocks: Int64, places: Int64, shape: "Shape") -> Int64:
    """The block of each matched person, FILTERED where the block's unmatched rest would be too few.

    Shapes: blocks (n,) of all persons; places (m,) of the matched ones; result (m,).
    """
    size = len(shape.group_of)
    matched, totals = np.bincount(blocks[places], minlength=size), np.bincount(blocks, minlength=size)
    is_hidden = np.array(gate.hidden_by_rest(matched.tolist(), totals=totals.tolist(), k=shape.k), bool)
    return np.where(is_hidden[blocks[places]], gate.FILTERED, blocks[places])


def one_hot(blocks: Int64, shape: "Shape") -> Int64:
    """The group owner's input: for each matched person a 1 at its block; padding and FILTERED have none."""
    found = np.zeros((shape.rows, len(shape.group_of)), np.int64)
    persons = np.flatnonzero(blocks != gate.FILTERED)
    found[persons, blocks[persons]] = 1
    return found


def value_inputs(columns: Sequence[Int64], shape: "Shape") -> Int64:
    """The value owner's input: for each value column x, and x squared as high and low limb; padding is zero."""
    from compute.engines.aligned import LIMB_BITS

    found = np.zeros((3 * len(columns), shape.rows), np.int64)
    for index, column in enumerate(columns):
        squares = column * column  # below 2^62: |x| < 2^31
        found[3 * index, : column.size] = column
        found[3 * index + 1, : column.size] = squares >> LIMB_BITS
        found[3 * index + 2, : column.size] = squares & ((1 << LIMB_BITS) - 1)
    return found


def circuit(context: StageContext, shape: "Shape", *, one_hot: Int64 | None, inputs: Int64 | None) -> dict[str, Any]:
    """Run the circuit and keep this party's share of the result; nothing is opened to anybody.

    Shapes: one_hot (rows, blocks) at the group owner; inputs (3 x values, rows) at the value owner; the
        shared result (1 + 3 x values, groups).
    """
    import jax
    import jax.numpy as jnp
    import spu.utils.frontend as frontend

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # jax leaves it untyped
    connection = _connect(context, SPU_STAGE, ranks=(0, 1, 2))
    context.progress("compute", 55)
    config = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
    config.experimental_enable_colocated_optimization = True  # an input stays with its owner until it is used
    runtime, io = spu.Runtime(connection, config), spu.Io(3, config)
    shapes = [(shape.rows, len(shape.group_of)), (3 * shape.values, shape.rows)]
    names, secret = ["blocks", "values"], libspu.Visibility.VIS_SECRET
    for owner, (name, own) in enumerate(zip(names, (one_hot, inputs), strict=True)):
        array = np.zeros(shapes[owner], np.int64) if own is None else own
        runtime.set_var(name, io.make_shares(array, secret, owner)[context.rank])
    # Blocks into groups, a public linear map; a filtered block goes nowhere.
    into = (np.array(shape.group_of)[:, None] == np.arange(shape.groups)[None, :]).astype(np.int64)

    def statistics(blocks: Any, values: Any) -> Any:
        counts = jnp.sum(blocks, axis=0)
        sums = jnp.concatenate([counts[None, :], values @ blocks], axis=0)
        is_released = (counts >= shape.k).astype(jnp.int64)
        return (sums * is_released[None, :]) @ jnp.asarray(into)

    executable, _ = frontend.compile(
        frontend.Kind.JAX,
        statistics,
        [np.zeros(item, np.int64) for item in shapes],
        {},
        names,
        [secret, secret],
        lambda _: ["statistics"],
    )
    context.progress("compute", 70)
    runtime.run(executable)
    share = runtime.get_var("statistics")
    meta = libspu.ValueMeta()
    meta.ParseFromString(share.meta)
    content = b""
    for data in share.share_chunks:
        chunk = libspu.ValueChunk()
        chunk.ParseFromString(data)
        content += chunk.content
    context.progress("compute", 95)
    return {"storage": meta.storage_type, "shares": base64.b64encode(content).decode()}


def _connect(context: StageContext, stage: int, *, ranks: Sequence[int]) -> Any:
    """A brpc link over mutual TLS between some ranks of the job, their certificates pinned."""
    description = libspu.link.Desc()
    description.id = f"{context.job_digest}/{stage}"
    left = context.deadline - time.monotonic()
    if left <= 0:
        raise LinkLost("The deadline passed before the parties could link; submit again.", code="DEADLINE")
    description.recv_timeout_ms = _RECEIVE_SECONDS * 1000
    description.connect_retry_times = 30
    description.connect_retry_interval_ms = 200
    for rank in ranks:
        description.add_party(f"party{rank}", context.addresses[rank][stage])
    bundle = context.work_dir / f"peers{stage}.pem"
    bundle.write_text("".join(context.certificate_paths[rank].read_text() for rank in ranks if rank != context.rank))
    description.enable_ssl = True
    for options in (description.client_ssl_opts, description.server_ssl_opts):
        options.cert.certificate_path = str(context.certificate_paths[context.rank])
        options.cert.private_key_path = str(context.key_path)
        options.verify.verify_depth = 1  # 0, the default, verifies nothing
        options.verify.ca_file_path = str(bundle)
    connection = libspu.link.create_brpc(description, list(ranks).index(context.rank))
    connection.barrier()
    # Never stopped: a party that hangs up while a peer's last message is under way makes the library end the peer's
    # process. The process ends with the run, after everybody has said on the mesh that it is done.
    _open_links.append(connection)
    return connection
