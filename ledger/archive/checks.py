"""Judging an archive with nothing but its files and a trust policy that the verifier brings.

Every question is PASS, FAIL or NOT CHECKED; the archive counts when none fails and all that the policy demands pass.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ledger.archive import layout, walk
from ledger.archive.layout import Manifest, Shard
from ledger.archive.stores import Store
from ledger.archive.walk import FROZEN, OPENED, Walk
from ledger.proofs import canonical, chain, checkpoints, policies, statements, tlog_policy
from ledger.proofs.checks import Check, Status
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy
from ledger.proofs.tree_heads import Checkpoint

_ANCHOR = {
    "log", "chain_id", "contract_address", "size", "root", "block_number", "block_hash", "transaction", "evidence",
}  # fmt: skip


class Open(Exception):
    """A question that the archive has no answer to; the sentence says why."""


@dataclass(slots=True)
class _Archive:
    """What the questions are put to, each part read once."""

    store: Store
    policy: TrustPolicy
    since: bytes | None
    document: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest = field(default_factory=lambda: Manifest((), {}))
    older: Checkpoint | None = None
    anchors: list[dict[str, Any]] = field(default_factory=list)
    walked: Walk = field(default_factory=lambda: Walk({}))


@dataclass(frozen=True, slots=True)
class _Question:
    name: str
    zh: str
    en: str
    answer: Callable[[_Archive], str | None]
    demanded: Callable[[TrustPolicy, bool], bool] = lambda _policy, _since: True


def verify(store: Store, *, policy: TrustPolicy, since: bytes | None = None) -> list[Check]:
    """Put every question to an archive, in the order in which they build on each other.

    Args:
        since: an older checkpoint as a signed note, kept by the verifier: the archive must extend it.
    """
    archive = _Archive(store, policy, since)
    checks = []
    for question in _QUESTIONS:
        demanded = question.demanded(policy, since is not None)
        checks.append(_ask(question, archive, demanded=demanded))
        if question.name == "manifest" and checks[-1].status is Status.FAIL:
            break  # without a list of what should be there, nothing more can be said
    return checks


def accepted(checks: list[Check]) -> bool:
    """Whether nothing fails and all that is demanded passes."""
    return all(
        check.status is Status.PASS or (check.status is Status.NOT_CHECKED and not check.required) for check in checks
    )


def _ask(question: _Question, archive: _Archive, *, demanded: bool) -> Check:
    status, code, detail = Status.PASS, "", ""
    try:
        detail = question.answer(archive) or ""
    except Open as reason:
        status, code, detail = Status.NOT_CHECKED, "NOT_HERE", str(reason)
    except VerificationError as error:
        status, code, detail = Status.FAIL, error.code, error.message
    return Check(
        name=question.name,
        name_zh=question.zh,
        name_en=question.en,
        status=status,
        detail=detail,
        detail_zh=detail,
        code=code,
        required=demanded,
    )


def _check_manifest(archive: _Archive) -> str:
    """Canonical, of this version, and signed by the exchange key that counts at the archive's end."""
    data = archive.store.read(layout.MANIFEST)
    value = canonical.parse_canonical(data, max_bytes=layout.MAX_MANIFEST_BYTES)
    archive.manifest = layout.parse(value)
    archive.document = value
    policy, last = archive.policy, archive.manifest.shards[-1]
    numbers = {log.origin: number for number, log in enumerate(policy.logs, start=1)}
    if any(numbers.get(shard.origin) != shard.number for shard in archive.manifest.shards):
        raise VerificationError("ORIGIN_UNKNOWN", "the policy knows no log of this name under this number")
    position = policy.position(last.origin, last.size - 1)
    signers = [statements.signer(proof) for proof in statements.proofs(value)]
    trusted = [key for key in policy.exchange_keys_at(position) if policy.counts_at(key, position)]
    if len(signers) != 1 or signers[0] not in trusted:
        raise VerificationError("SIGNATURE_MISSING", "no exchange key of the policy has signed the manifest")
    statements.verify(value, signers=signers)
    return f"{len(archive.manifest.files)} files, {len(archive.manifest.shards)} logs"


def _check_files(archive: _Archive) -> None:
    """Exactly the files that the manifest lists, and it lists exactly those an archive of its logs has."""
    manifest, store = archive.manifest, archive.store
    if set(manifest.files) != manifest.expected():
        raise VerificationError("MANIFEST_INVALID", "the manifest lists other files than its logs have")
    present = store.paths() - {layout.MANIFEST}
    if present - set(manifest.files):
        raise VerificationError("FILE_UNLISTED", "the archive holds a file that its manifest does not list")
    for path, file in manifest.files.items():
        data = store.read(path)
        if len(data) != file.size_bytes or hashlib.sha256(data).hexdigest() != file.sha256:
            raise VerificationError("FILE_DIFFERS", f"{path} is not the file that the manifest lists")


def _check_checkpoints(archive: _Archive) -> None:
    """Each log's checkpoint is signed by a key that counts at its size, and says what the manifest says.

    A withdrawn key counts for the end of its log alone, which the policy itself names.
    """
    policy = archive.policy
    for shard in archive.manifest.shards:
        keys = policy.log_keys_at(shard.origin, shard.size)
        if not keys:
            raise VerificationError("ORIGIN_UNKNOWN", "the policy has no key for this log at this size")
        if not policy.is_end(shard.origin, shard.size, bytes.fromhex(shard.root)):
            position = policy.position(shard.origin, shard.size - 1)
            keys = [key for key in keys if policy.counts_at(key, position)]
        if not keys:
            raise VerificationError("KEY_REVOKED", "the log's key had been withdrawn before this checkpoint")
        note = archive.store.read(shard.checkpoint)
        signed = checkpoints.verify(note, keys=keys, origin=shard.origin)
        if (signed.size, signed.root.hex()) != (shard.size, shard.root):
            raise VerificationError("CHECKPOINT_DIFFERS", "a checkpoint says otherwise than the manifest")


def _check_cosignatures(archive: _Archive) -> str:
    """Enough witnesses have cosigned the newest log's checkpoint; a frozen one's where the policy asks the same."""
    if not archive.policy.witnesses.quorum:
        raise Open("the policy asks for no witness")
    wanted = policies.tlog_policy(archive.policy)
    held = [wanted.check_quorum(archive.store.read(shard.checkpoint)) for shard in archive.manifest.shards]
    return f"{len(held[-1])} witnesses"


def _check_tree(archive: _Archive) -> str:
    """Every tile and root rebuilt from the entry bundles."""
    try:
        archive.anchors = list(_anchors(archive))
    except VerificationError:
        archive.anchors = []  # the question about anchors says why
    sizes: dict[int, set[int]] = {}
    for anchor in archive.anchors:
        sizes.setdefault(anchor["log"], set()).add(anchor["size"])
    if archive.since is not None:
        archive.older = checkpoints.parse(archive.since)
    archive.walked = walk.walk(archive.store, archive.manifest, since=archive.older, anchored=sizes)
    _raise(archive, "tree")
    for shard in archive.manifest.shards:
        if archive.walked.roots.get((shard.number, shard.size), b"").hex() != shard.root:
            raise VerificationError("TREE_DIFFERS", "the leaves make another root than the checkpoint's")
    return f"{archive.walked.counts['leaves']} leaves"


def _check_leaves(archive: _Archive) -> None:
    """Every leaf is one, in its only form."""
    _raise(archive, "leaves")
    if len(archive.walked.roots) == 0:
        raise VerificationError("TREE_DIFFERS", "no leaf could be read")


def _check_history(archive: _Archive) -> str:
    """Each leaf names the one before it of the same subject."""
    _raise(archive, "history")
    return "" if archive.manifest.shards[0].number == 1 else "since the first log of the archive"


def _check_shards(archive: _Archive) -> str:
    """Each log but the last ended by a leaf that names the next, which begins by naming its end."""
    shards, walked = archive.manifest.shards, archive.walked
    frozen = {log.origin: log.frozen for log in archive.policy.logs}
    for shard in shards:
        end = frozen.get(shard.origin)
        is_ended = end is not None and (shard is not shards[-1] or shard.size >= end.size)
        if end is not None and is_ended and (end.size, end.root) != (shard.size, shard.root):
            raise VerificationError("LOG_FROZEN", "a log was frozen with another size or root than the archive's")
    if len(shards) == 1:
        raise Open("the archive holds one log")
    for before, after in pairwise(shards):
        _check_joined(before, after, walked)
    return f"{len(shards)} logs"


def _check_joined(before: Shard, after: Shard, walked: Walk) -> None:
    ended, begun = walked.opened.get((before.number, FROZEN)), walked.opened.get((after.number, OPENED))
    if after.number != before.number + 1 or walked.ends[before.number][1] != FROZEN:
        raise VerificationError("LOG_NOT_FROZEN", "a log before the last does not end by freezing itself")
    if walked.ends[after.number][0] != OPENED or ended is None or begun is None:
        raise VerificationError("LOG_NOT_JOINED", "a log does not begin by naming the one before it")
    end = {"origin": before.origin, "size": before.size, "root": before.root}
    if ended.get("next_origin") != after.origin or begun.get("before") != end:
        raise VerificationError("LOG_NOT_JOINED", "two logs do not name each other")


def _check_since(archive: _Archive) -> str:
    """The archive extends a checkpoint that the verifier kept: nothing before it was rewritten."""
    if archive.since is None or archive.older is None:
        raise Open("no older checkpoint was given")
    older = archive.older
    keys = policies.log_keys(archive.policy, older.origin)
    checkpoints.verify(archive.since, keys=keys, origin=older.origin)
    shard = next((one for one in archive.manifest.shards if one.origin == older.origin), None)
    if shard is None or older.size > shard.size:
        raise VerificationError("CONSISTENCY_INVALID", "the archive ends before the older checkpoint")
    if archive.walked.roots.get((shard.number, older.size)) != older.root:
        raise VerificationError("CONSISTENCY_INVALID", "the archive is another history than the older checkpoint's")
    return f"since {older.size} leaves"


def _check_openings(archive: _Archive) -> str:
    """What the leaves about log and chain say is what their commitments hold."""
    _raise(archive, "openings")
    return f"{archive.walked.counts['openings']} openings"


def _check_disclosures(archive: _Archive) -> str:
    """What the other leaves say, where it was exported."""
    if layout.DISCLOSURES not in archive.manifest.files:
        raise Open("the archive was made without disclosures")
    _raise(archive, "disclosures")
    return f"{archive.walked.counts['disclosures']} disclosures"


def _check_anchors(archive: _Archive) -> str:
    """Every anchor is of a root that the leaves make."""
    found = list(_anchors(archive))
    if not found:
        raise Open("no root of these logs was anchored")
    for anchor in found:
        if archive.walked.roots.get((anchor["log"], anchor["size"]), b"").hex() != anchor["root"]:
            raise VerificationError("ANCHOR_DIFFERS", "an anchor is of another root than the leaves make")
    return f"{len(found)} anchors"


def _check_chain(archive: _Archive) -> str:
    """What the chain itself proves of each anchor, under the policy's contract and validators."""
    trusted = archive.policy.chain
    if trusted is None:
        raise Open("the policy names no chain")
    proven, sealed = 0, True
    for anchor in archive.anchors:
        if anchor["evidence"] is None:
            continue
        place = (anchor["chain_id"], str(anchor["contract_address"]).lower())
        if place != (trusted.chain_id, trusted.contract_address.lower()):
            continue  # an earlier contract, of which this policy says nothing
        block = chain.check_root(
            anchor["evidence"], chain=trusted, shard=anchor["log"], size=anchor["size"], root=anchor["root"]
        )
        proven, sealed = proven + 1, sealed and block.is_sealed
    if not proven:
        raise Open("no anchor carries evidence of the policy's chain")
    return f"{proven} proven" if sealed else f"{proven} proven; compare the blocks' hashes with a source of your own"


def _check_policies(archive: _Archive) -> None:
    """The policies inside are readable; the verifier's own is what counts."""
    policies.parse(canonical.parse_canonical(archive.store.read(layout.POLICY)))
    inside = tlog_policy.parse(archive.store.read(layout.TLOG_POLICY))
    if not inside.logs:
        raise VerificationError("POLICY_INVALID", "the tlog-policy names no log")


def _anchors(archive: _Archive) -> Any:
    for anchor in walk.lines(archive.store, layout.ANCHORS):
        numbers = [anchor.get("log"), anchor.get("size"), anchor.get("chain_id")]
        if set(anchor) != _ANCHOR or not all(isinstance(number, int) for number in numbers):
            raise VerificationError("ANCHOR_INVALID", "an anchor lacks a member or has one that is unknown")
        yield anchor


def _raise(archive: _Archive, question: str) -> None:
    if question in archive.walked.errors:
        raise archive.walked.errors[question]


def _with_quorum(policy: TrustPolicy, _since: bool) -> bool:
    return policy.witnesses.quorum > 0


def _on_sealed_chain(policy: TrustPolicy, _since: bool) -> bool:
    """Without validators nobody vouches for a block, and its proof decides nothing."""
    return policy.chain is not None and bool(policy.chain.validators)


def _if_given(_policy: TrustPolicy, since: bool) -> bool:
    return since


def _never(_policy: TrustPolicy, _since: bool) -> bool:
    return False


_QUESTIONS = (
    _Question("manifest", "清单由交易所签署", "The manifest is signed by the exchange", _check_manifest),
    _Question("files", "文件与清单一致，不多不少", "The files are those of the manifest, no more and no less",
              _check_files),
    _Question("policies", "所附信任策略可读", "The policies inside can be read", _check_policies),
    _Question("checkpoints", "检查点由日志密钥签署", "Every checkpoint is signed by its log's key", _check_checkpoints),
    _Question("cosignatures", "足够的见证方已会签检查点", "Enough witnesses have cosigned the checkpoints",
              _check_cosignatures, _with_quorum),
    _Question("tree", "由叶子重建的树与检查点一致", "The tree rebuilt from the leaves is the checkpoints'",
              _check_tree),
    _Question("leaves", "每个叶子格式唯一且有效", "Every leaf is a leaf, in its only form", _check_leaves),
    _Question("history", "每一主体的条目首尾相接", "Each subject's leaves name each other in order", _check_history),
    _Question("shards", "各日志分片前后衔接", "The logs name each other at their ends", _check_shards, _never),
    _Question("since", "未改写所留旧检查点之前的历史", "Nothing before the older checkpoint was rewritten",
              _check_since, _if_given),
    _Question("openings", "所示日志与链的条目与承诺相符", "What is shown of log and chain is what was committed to",
              _check_openings),
    _Question("disclosures", "其余所示内容与承诺相符", "What is shown of the rest is what was committed to",
              _check_disclosures, _never),
    _Question("anchors", "锚定均为本日志之根", "Every anchor is of a root of these logs",
              _check_anchors, _on_sealed_chain),
    _Question("chain", "链上确有这些根", "The chain itself holds these roots", _check_chain, _on_sealed_chain),
)  # fmt: skip
