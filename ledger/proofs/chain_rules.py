"""The questions about witnesses and the chain, one function each: what was seen, by whom, and who vouches for it.

Each returns None, or for people a sentence about what was found. It raises `VerificationError` for what
contradicts, and `Open` for what this bundle or this policy leaves unanswered.
"""

from ledger.proofs import chain, grants, headers, layout
from ledger.proofs.checks import Found, Open
from ledger.proofs.errors import VerificationError
from ledger.proofs.receipt_parts import Evidence, digest32, hexadecimal, number, text
from ledger.proofs.tlog_policy import NONE


def check_cosignatures(evidence: Evidence) -> Found:
    """Enough of the policy's witnesses have cosigned each checkpoint."""
    if evidence.log_policy.quorum == NONE:
        raise no_quorum()
    names: list[str] = []
    for note in evidence.notes:
        names += evidence.log_policy.check_quorum(note)
    count = len(set(names))
    return Found(f"Witnesses that have cosigned: {count}.", f"已会签的见证方：{count} 个。")


def no_quorum() -> Open:
    """What to say where a policy asks for no witnesses."""
    return Open(
        "NO_QUORUM",
        "The policy demands no witnesses, so nobody but the log says that all see one history.",
        "信任策略未要求见证方，除日志自身外无人证明各方所见一致。",
    )


def check_anchor(evidence: Evidence) -> None:
    """The anchor names the policy's chain and contract, and the root of this very checkpoint."""
    anchor, trusted = evidence.anchor, evidence.policy.chain
    if trusted is not None and (
        number(anchor, "chain_id") != trusted.chain_id
        or text(anchor, "contract_address").lower() != trusted.contract_address.lower()
    ):
        raise VerificationError("ANCHOR_INVALID", "the anchor is on a chain or contract you do not trust")
    if number(anchor, "size") != evidence.checkpoint.size:
        raise Open(
            "OTHER_SIZE",
            "The anchor covers another size of the log, and the bundle does not join the two. Ask for a newer one.",
            "锚定所覆盖的日志大小与检查点不同，包内没有二者的一致性证明，请索取新的凭证包。",
        )
    if digest32(text(anchor, "root").removeprefix("0x"), "ANCHOR_INVALID") != evidence.checkpoint.root:
        raise VerificationError("ANCHOR_INVALID", "the anchored root is not the checkpoint's")


def check_chain(evidence: Evidence) -> Found:
    """The contract's storage holds the root of every checkpoint in the bundle, in the block of the proof."""
    held = evidence.held
    shards = {log.origin: number for number, log in enumerate(evidence.policy.logs, start=1)}
    for note in evidence.notes:
        checkpoint = evidence.checkpoint_of(note)
        slot = layout.root_in(shards[checkpoint.origin], checkpoint.size)
        if slot not in held.values:
            raise Open(
                "NO_CHAIN_PROOF",
                "The bundle does not prove what the contract holds at this size. Ask a chain node that you trust.",
                "凭证包未证明合约在该大小下的内容；请向您信任的链节点查询。",
            )
        if held.values[slot] == 0:
            raise VerificationError("CHAIN_ROOT_ABSENT", "the contract holds no root of this size in this block")
        if held.values[slot] != int.from_bytes(checkpoint.root, "big"):
            raise VerificationError("CHAIN_ROOT_DIFFERS", "the contract holds another root of this size")
    return _as_of(held.block)


def check_header(evidence: Evidence) -> Found:
    """The block is sealed by two thirds of the policy's validators."""
    header_rlp = hexadecimal(text(evidence.chain_evidence, "header").removeprefix("0x"), "HEADER_INVALID")
    trusted = evidence.trusted_chain
    if trusted.validators:
        sealed = headers.check_seals(header_rlp, validators=trusted.validators)
        return Found(
            f"Block {sealed.number} is sealed by the policy's validators.",
            f"区块 {sealed.number} 由策略所列验证者签封。",
        )
    block = headers.header(header_rlp)
    if trusted.development:
        raise Open(
            "DEVELOPMENT_CHAIN",
            "Development chain: no third party holds it, and whoever reaches its port can rewrite it.",
            "开发链：没有第三方保存，能连上其端口者即可改写。",
        )
    raise Open(
        "HEADER_NOT_VOUCHED",
        f"The policy names no validators. Compare the hash of block {block.number} with a source of your own.",
        f"信任策略未列明验证者，请用您自己的来源核对区块 {block.number} 的哈希。",
    )


def check_grants(evidence: Evidence) -> Found:
    """Every provider's grant stands in the contract, is not revoked and its terms are not withdrawn."""
    if not demands_grants(evidence):
        raise Open(
            "GRANTS_NOT_DEMANDED",
            "The contract's terms ask for no grant on a chain.",
            "合约条款未要求链上授权。",
        )
    held = evidence.held
    for party in evidence.providers:
        signer, terms = text(party, "chain_address"), evidence.digests["terms_digest"]
        grant_id = grants.grant_id(grantor=signer, terms_digest=terms)
        slots = layout.for_grant(grant_id=grant_id, signer=signer, terms_digest=terms)
        if not set(slots) <= set(held.values):
            raise Open(
                "NO_GRANT_PROOF",
                "The bundle does not prove every provider's grant. Ask a chain node that you trust.",
                "凭证包未证明各提供方的授权；请向您信任的链节点查询。",
            )
        chain.check_grant(held, signer=signer, terms_digest=terms)
    return _as_of(held.block)


def demands_grants(evidence: Evidence) -> bool:
    """Whether the contract lets its data be used only under grants on a chain."""
    terms = evidence.contract.get("evidence")
    return isinstance(terms, dict) and terms.get("chain") == "required"


def _as_of(block: chain.Block) -> Found:
    return Found(f"As of block {block.number}, {block.hash}.", f"截至区块 {block.number}（{block.hash}）。")
