"""The circuits that run in SecretFlow's SPU: blocks into suppressed group totals, nothing opened to anybody.

SEMI2K is never used: its default dealer is a trusted first party. The protocols are ABY3 with three parties and CHEETAH
with two; everything is integers in the ring of 64 bits, where both are exact, because nothing is truncated.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import spu
import spu.libspu as libspu
from numpy.typing import NDArray

from compute.engines import gate, spu_links
from compute.engines.base import StageContext
from compute.engines.two_owners import LIMB_BITS, Shape

leave_as_lost = spu_links.leave_as_lost
ABY3_STAGE = 2
GROUP_OWNER, VALUE_OWNER = 0, 1

Int64 = NDArray[np.int64]


class Machine:
    """One party's end of an SPU virtual machine: inputs by their owners, programs, and this party's share at the end.

    Every party makes the same calls in the same order. An input is an array at its owner and None elsewhere.
    """

    def __init__(self, context: StageContext, *, stage: int, parties: int) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # jax leaves it untyped
        protocol = libspu.ProtocolKind.ABY3 if parties == 3 else libspu.ProtocolKind.CHEETAH
        config = libspu.RuntimeConfig(protocol=protocol, field=libspu.FieldType.FM64)
        # An input stays with its owner until it is used.
        config.experimental_enable_colocated_optimization = True
        # Radix sort opens nothing but freshly shuffled permutations; quick sort opens comparisons, where equal keys
        # show.
        config.sort_method = libspu.RuntimeConfig.SortMethod.SORT_RADIX
        connection = spu_links.connect(context, stage, ranks=tuple(range(parties)))
        self._rank = context.rank
        self._runtime, self._io = spu.Runtime(connection, config), spu.Io(parties, config)

    def input(self, name: str, array: Int64 | None, *, shape: tuple[int, ...], owner: int) -> None:
        """Set a secret variable; the owner's array, nobody else's."""
        own = np.zeros(shape, np.int64) if array is None else array
        shares = self._io.make_shares(own, libspu.Visibility.VIS_SECRET, owner)
        self._runtime.set_var(name, shares[self._rank])

    def compile(self, function: Callable[..., Any], shapes: Mapping[str, tuple[int, ...]], output: str) -> Any:
        """Compile a function of secret variables; deterministic, so that all parties run the same program."""
        import spu.utils.frontend as frontend

        executable, _ = frontend.compile(
            frontend.Kind.JAX,
            function,
            [np.zeros(shape, np.int64) for shape in shapes.values()],
            {},
            list(shapes),
            [libspu.Visibility.VIS_SECRET] * len(shapes),
            lambda _: [output],
        )
        return executable

    def run(self, executable: Any) -> None:
        """Run a compiled program over the variables it names."""
        self._runtime.run(executable)

    def share(self, name: str) -> dict[str, Any]:
        """This party's share of a variable, as the members of its part."""
        share = self._runtime.get_var(name)
        meta = libspu.ValueMeta()
        meta.ParseFromString(share.meta)
        content = b""
        for data in share.share_chunks:
            chunk = libspu.ValueChunk()
            chunk.ParseFromString(data)
            content += chunk.content
        return {"storage": meta.storage_type, "shares": base64.b64encode(content).decode()}


def released_blocks(blocks: Int64, totals: Sequence[int], shape: Shape) -> Int64:
    """The block of each matched person, FILTERED where the block's unmatched rest would be too few.

    Shapes: blocks (m,) of the matched persons; totals (blocks,) of all persons; result (m,).
    """
    matched = np.bincount(blocks, minlength=len(shape.group_of))
    is_hidden = np.array(gate.hidden_by_rest(matched.tolist(), totals=totals, k=shape.k), bool)
    return np.where(is_hidden[blocks], gate.FILTERED, blocks)


def block_totals(blocks: Int64, shape: Shape) -> list[int]:
    """How many persons each block has."""
    found: list[int] = np.bincount(blocks, minlength=len(shape.group_of)).tolist()
    return found


def one_hot(blocks: Int64, shape: Shape) -> Int64:
    """The group owner's input: for each matched person a 1 at its block; padding and FILTERED have none."""
    found = np.zeros((shape.rows, len(shape.group_of)), np.int64)
    persons = np.flatnonzero(blocks != gate.FILTERED)
    found[persons, blocks[persons]] = 1
    return found


def value_inputs(columns: Sequence[Int64], shape: Shape) -> Int64:
    """The value owner's input: for each value column x, and x squared as high and low limb; padding is zero."""
    return limbs(columns, rows=shape.rows)


def limbs(columns: Sequence[Int64], *, rows: int) -> Int64:
    """x, and x squared as high and low limb, of each column; shape (3 x columns, rows), zero beyond the columns."""
    found = np.zeros((3 * len(columns), rows), np.int64)
    for index, column in enumerate(columns):
        squares = column * column  # below 2^62: |x| < 2^31
        found[3 * index, : column.size] = column
        found[3 * index + 1, : column.size] = squares >> LIMB_BITS
        found[3 * index + 2, : column.size] = squares & ((1 << LIMB_BITS) - 1)
    return found


def into_groups(shape: Shape) -> Int64:
    """Blocks into groups, a public linear map (blocks, groups); a filtered block goes nowhere."""
    found: Int64 = (np.array(shape.group_of)[:, None] == np.arange(shape.groups)[None, :]).astype(np.int64)
    return found


def circuit(
    context: StageContext,
    shape: Shape,
    *,
    one_hot: Int64 | None,
    inputs: Int64 | None,
    stage: int = ABY3_STAGE,
    parties: int = 3,
) -> dict[str, Any]:
    """Run the circuit over matched rows and keep this party's share of the result; nothing is opened to anybody.

    Shapes: one_hot (rows, blocks) at the group owner; inputs (3 x values, rows) at the value owner; the
        shared result (1 + 3 x values, groups).
    """
    import jax.numpy as jnp

    machine = Machine(context, stage=stage, parties=parties)
    context.progress("compute", 55)
    shapes = {"blocks": (shape.rows, len(shape.group_of)), "values": (3 * shape.values, shape.rows)}
    machine.input("blocks", one_hot, shape=shapes["blocks"], owner=GROUP_OWNER)
    machine.input("values", inputs, shape=shapes["values"], owner=VALUE_OWNER)
    into = into_groups(shape)

    def statistics(blocks: Any, values: Any) -> Any:
        counts = jnp.sum(blocks, axis=0)
        sums = jnp.concatenate([counts[None, :], values @ blocks], axis=0)
        is_released = (counts >= shape.k).astype(jnp.int64)
        return (sums * is_released[None, :]) @ jnp.asarray(into)

    executable = machine.compile(statistics, shapes, "statistics")
    context.progress("compute", 70)
    machine.run(executable)
    context.progress("compute", 95)
    return machine.share("statistics")
