"""Who takes part in a scoring or a training, what each brings, and what they say to each other first.

Rank 0 is the requester, a bank, with applicants of its own. Ranks 1, 2 and 3 compute under ABY3: two or three agencies
with features, and, where there are two, a compute party without data. The requester stays outside the circuit and
hands its inputs in as shares, so that requester and any one of the three together still learn nothing: the buyer of
the scores is the party most worth bribing for, or by.

Everybody tells everybody the same first: how many rows (a power of two) and the declared bounds of its columns.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import greeting, identifiers, link, loading
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused
from compute.engines.metadata import DatasetMeta, magnitude
from compute.engines.scoring import circuits, consents, disputes, kept, sharing

REQUESTER, COMPUTING = 0, (1, 2, 3)
MIN_SLOTS = 64
MAX_SLOTS = 1 << 17  # a part's answers stay below four megabytes
MAX_ROWS = 1 << 22
CIRCUIT_STAGE = 1
HASH_BITS = 59
_LIMIT = 8 << circuits.VALUE_BITS  # standardised values are cut at eight spreads

Int64 = NDArray[np.int64]
Bounds = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class World:
    """What all parties know after the greeting.

    Args:
        slots: the requester's rows, padded; rows: each agency's, padded, in order; layout: the circuit's; bounds: of
            all features in order, the agencies' first.
    """

    slots: int
    rows: tuple[int, ...]
    layout: circuits.Layout
    bounds: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Applicants:
    """The requester's rows in slots. Shapes: keys (slots,), own (own, slots), label (slots,), places (rows,)."""

    keys: Int64
    own: Int64
    label: Int64
    places: Int64


def agencies(context: StageContext) -> range:
    """Ranks of the parties with features."""
    return range(1, 1 + len(context.parameters["features"]))


def columns(context: StageContext) -> list[str]:
    """The columns that this party brings, in the request's order; none for a compute party."""
    if context.rank == REQUESTER:
        return list(context.parameters["own"])
    if context.rank in agencies(context):
        return list(context.parameters["features"][context.rank - 1]["columns"])
    return []


def organizations(context: StageContext) -> tuple[str, ...]:
    """The parties' organisations by rank."""
    return tuple(str(party["organization"]) for party in context.job["parties"])


def feature_columns(context: StageContext) -> tuple[tuple[str, ...], ...]:
    """Columns by rank, the requester's first."""
    found = [tuple(item["columns"]) for item in context.parameters["features"]]
    return (tuple(context.parameters["own"]), *found)


def check_roles(context: StageContext) -> None:
    """Four parties, data where it belongs; EngineRefused JOB_DIFFERS."""
    has_data = context.rank == REQUESTER or context.rank in agencies(context)
    if context.parties != 1 + len(COMPUTING) or has_data != (context.dataset is not None):
        raise greeting.differs("This operation needs a requester and three computing parties; check the contract.")


def greet(context: StageContext, mesh: link.Mesh, meta: DatasetMeta | None, *, cuts: int, shift: int) -> World:
    """Tell everybody sizes and bounds, and check that everybody was told the same.

    Raises:
        EngineRefused: JOB_DIFFERS; PARTITION_TOO_LARGE for more rows than a run may have.
    """
    own: dict[str, Any] = {"rows": 0, "bounds": []}
    if meta is not None:
        found = [meta.numeric(name) for name in columns(context)]
        own = {"rows": meta.magnitude, "bounds": [[column.minimum, column.maximum] for column in found]}
    told = {
        context.rank: own,
        **{rank: greeting.load(data) for rank, data in mesh.broadcast(greeting.dump(own)).items()},
    }
    try:
        sizes = {rank: magnitude(int(one["rows"])) for rank, one in told.items()}
        limits = {rank: [(int(low), int(high)) for low, high in one["bounds"]] for rank, one in told.items()}
    except (KeyError, TypeError, ValueError):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.") from None
    if sizes[REQUESTER] > MAX_SLOTS or max(sizes.values()) > MAX_ROWS:
        raise EngineRefused("PARTITION_TOO_LARGE", "More rows than one run may have; divide the request.")
    world = _world(context, sizes, limits, cuts=cuts, shift=shift)
    digest = hashlib.sha256(repr(world).encode()).hexdigest()
    if any(
        greeting.load(data) != {"world": digest} for data in mesh.broadcast(greeting.dump({"world": digest})).values()
    ):
        raise greeting.differs("The parties were told different sizes; submit again.")
    return world


def _world(
    context: StageContext, sizes: Mapping[int, int], limits: Mapping[int, Bounds], *, cuts: int, shift: int
) -> World:
    by_rank = feature_columns(context)
    if any(len(limits[rank]) != len(names) for rank, names in enumerate(by_rank)):
        raise greeting.differs("A peer has other columns than the request names; check the datasets.")
    ordered = [bound for rank in (*agencies(context), REQUESTER) for bound in limits[rank]]
    layout = circuits.Layout(
        widths=tuple(len(by_rank[rank]) for rank in agencies(context)),
        spouse=tuple(tuple(name.startswith(consents.SPOUSE) for name in by_rank[rank]) for rank in agencies(context)),
        own=len(by_rank[REQUESTER]),
        cuts=cuts,
        shift=shift,
    )
    rows = tuple(max(MIN_SLOTS, sizes[rank]) for rank in agencies(context))
    return World(max(MIN_SLOTS, sizes[REQUESTER]), rows, layout, tuple(ordered))


# --- the requester ------------------------------------------------------------------------------------------


def applicants(
    context: StageContext,
    meta: DatasetMeta,
    key: bytes,
    world: World,
    *,
    label: str | None,
    model: kept.SharedModel | None,
) -> Applicants:
    """The requester's rows, each person in one slot, the slots in an order drawn for this run.

    Raises:
        EngineRefused: COLUMN_UNKNOWN, VALUE_NOT_NUMERIC; see `loading`.
    """
    names = [*columns(context), *([label] if label else [])]
    table = loading.load_table(context.own_dataset, meta, values=names, blocks=False, ids=True)
    hashes = hashed(table.ids or [], key)
    people, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    slot_of = np.random.default_rng(secrets.randbits(128)).permutation(world.slots)[: people.size]
    keys, own = drawn(world.slots), np.zeros((world.layout.own, world.slots), np.int64)
    keys[slot_of] = people
    values = np.stack([table.values[name] for name in columns(context)]) if world.layout.own else own[:, :0]
    if model is not None:
        values = standardised(values, model.means, model.spreads)
    if world.layout.own:
        own[:, slot_of] = values[:, first]
    target = np.zeros(world.slots, np.int64)
    if label:
        target[slot_of] = table.values[label][first]
    return Applicants(keys, own, target, slot_of[inverse])


def hand_in(mesh: link.Mesh, arrays: Sequence[Int64]) -> None:
    """Give the three their shares of the requester's arrays, in order."""
    shares = [sharing.split(array) for array in arrays]
    mesh.exchange({rank: b"".join(one[rank - 1] for one in shares) for rank in COMPUTING})


def take_in(mesh: link.Mesh, circuit: circuits.Circuit, arrays: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    """Receive this party's shares of the requester's arrays, named and shaped."""
    data = mesh.exchange({REQUESTER: b""})[REQUESTER]
    for name, shape in arrays:
        size = 16 * int(np.prod(shape))
        if size:
            circuit.received(name, shape, data[:size])
        data = data[size:]
    if data:
        raise greeting.differs("The requester sent more shares than agreed; check the versions.")


# --- the agencies -------------------------------------------------------------------------------------------


def agency_input(
    context: StageContext, meta: DatasetMeta, key: bytes, world: World, *, model: kept.SharedModel | None
) -> tuple[Int64, Int64]:
    """Keys and columns of this agency: consent, the spouse's consent, dispute, then the values, zero without consent.

    Shapes: keys (rows,), columns (3 + w, rows).
    """
    names, size = columns(context), world.rows[context.rank - 1]
    table = loading.load_table(context.own_dataset, meta, values=names, blocks=False, ids=True)
    ids = table.ids or []
    consent = _consents(context, meta, ids)
    keys, found = drawn(size), np.zeros((circuits.BITS + len(names), size), np.int64)
    keys[: len(ids)] = hashed(ids, key)
    values = np.stack([table.values[name] for name in names])
    if model is not None:
        values = standardised(values, model.means, model.spreads)
    for number, name in enumerate(names):
        allowed = consent[""] * consent[consents.SPOUSE] if name.startswith(consents.SPOUSE) else consent[""]
        values[number] *= allowed
    marks = disputes.marked(kept.directory(context))
    marked = np.array([bool(marks) and identifiers.canonical(one) in marks for one in ids], np.int64)
    found[:, : len(ids)] = np.concatenate([np.stack([consent[""], consent[consents.SPOUSE], marked]), values])
    return keys, found


def usable(context: StageContext, meta: DatasetMeta) -> tuple[Int64, Int64]:
    """Values of this party's columns, and which rows may be used for them. Shapes: (w, rows), (w, rows)."""
    names = columns(context)
    table = loading.load_table(context.own_dataset, meta, values=names, blocks=False, ids=True)
    values = np.stack([table.values[name] for name in names])
    if context.rank == REQUESTER:
        return values, np.ones_like(values)
    consent = _consents(context, meta, table.ids or [])
    allowed = [consent[""] * consent[consents.SPOUSE if name.startswith(consents.SPOUSE) else ""] for name in names]
    return values, np.stack(allowed)


def _consents(context: StageContext, meta: DatasetMeta, ids: Sequence[str]) -> dict[str, Int64]:
    wanted = f"{organizations(context)[REQUESTER]} {context.request['purpose']}"
    found = consents.of_rows(
        context.own_dataset, meta, columns(context), ids=ids, wanted=wanted, kept=kept.directory(context)
    )
    return {scope: np.array(rows, np.int64) for scope, rows in found.items()}


def standardised(values: Int64, means: Sequence[float], spreads: Sequence[float]) -> Int64:
    """Whole numbers of 2^-12 of a spread from the mean, cut at eight spreads. Shapes: (w, rows) both."""
    centred = (values - np.array(means)[:, None]) / np.array(spreads)[:, None]
    scaled = np.rint(centred * (1 << circuits.VALUE_BITS))
    found: Int64 = np.clip(scaled, -_LIMIT, _LIMIT).astype(np.int64)
    return found


def hashed(ids: Sequence[str], key: bytes) -> Int64:
    """The keyed hash of each id, 59 bits."""
    found = b"".join(item[:8] for item in identifiers.keyed(ids, key))
    return (np.frombuffer(found, ">u8") >> np.uint64(64 - HASH_BITS)).astype(np.int64)


def drawn(size: int) -> Int64:
    """Keys of nobody: as hashes look, drawn by the operating system."""
    return (np.frombuffer(secrets.token_bytes(8 * size), "<u8") >> np.uint64(64 - HASH_BITS)).astype(np.int64)


def job_key(context: StageContext, mesh: link.Mesh, meta: DatasetMeta | None) -> bytes:
    """The key of requester and agencies for this job; empty at a compute party, which has none."""
    return b"" if meta is None else greeting.job_key(context, mesh, ranks=[REQUESTER, *agencies(context)])


def joined(
    context: StageContext,
    mesh: link.Mesh,
    world: World,
    *,
    mine: tuple[Int64, Int64] | None,
    handed_in: Sequence[tuple[str, tuple[int, ...]]],
) -> tuple[circuits.Circuit, list[str]]:
    """A computing party's circuit with the requester's inputs taken in and every agency joined to its slots.

    Args:
        mine: keys and columns of this party, where it is an agency; handed_in: names and shapes of the inputs.
    Returns: the circuit, and the names of the joins' shared results in order.
    """
    from compute.engines import spu_links  # loads the library: not at the requester, who does without

    context.progress("match", 20)
    connection = spu_links.connect(context, CIRCUIT_STAGE, ranks=COMPUTING)
    circuit = circuits.Circuit(connection, index=context.rank - 1)
    take_in(mesh, circuit, handed_in)
    mesh.watch(spu_links.leave_as_lost(context))
    context.progress("compute", 40)
    return circuit, run_joins(circuit, context, world, mine)


def run_joins(
    circuit: circuits.Circuit, context: StageContext, world: World, mine: tuple[Int64, Int64] | None
) -> list[str]:
    """Join each agency's rows to the requester's slots; returns the names of the shared results, in order."""
    names = []
    for number, (rows, width) in enumerate(zip(world.rows, world.layout.widths, strict=True)):
        keys, found = mine if mine is not None and context.rank == number + 1 else (None, None)
        circuit.own("theirs", (rows,), owner=number, array=keys)
        circuit.own("columns", (circuits.BITS + width, rows), owner=number, array=found)
        circuit.run(circuits.join(world.slots, rows), ["keys", "theirs", "columns"], [f"found{number}"])
        circuit.forget("theirs", "columns")
        names.append(f"found{number}")
        context.progress("compute", 40 + 30 * (number + 1) // len(world.rows))
    return names
