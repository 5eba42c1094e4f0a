"""The closed list of codes with which a run can be refused or fail: what is so, what to do, whose turn it is.

A node sends nothing but one of these codes: no free text, no number that depends on a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from exchange.kernel.errors import DomainError


class Stage(StrEnum):
    """Where in a run the code arises."""

    CONSENT = "consent"
    ADMISSION = "admission"
    LINK = "link"
    PREFLIGHT = "preflight"
    RUN = "run"
    GATE = "gate"
    DELIVERY = "delivery"


class Fault(StrEnum):
    """Who can do something about it."""

    BUYER = "buyer"
    PROVIDER = "provider"
    PARTY = "party"
    EXCHANGE = "exchange"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class FailureCode:
    """One code: two languages, what is so and what to do next."""

    code: str
    stage: Stage
    fault: Fault
    zh: str
    en: str
    action_zh: str
    action_en: str

    def sentence(self, language: str = "zh", *, stage: str = "") -> str:
        """What is so and what to do, in Chinese or English; some codes mean something closer at pre-flight."""
        zh, en = self.zh, self.en
        action_zh, action_en = self.action_zh, self.action_en
        if stage == Stage.PREFLIGHT and self.code in AT_PREFLIGHT:
            zh, en, action_zh, action_en = AT_PREFLIGHT[self.code]
        return f"{zh}{action_zh}" if language.startswith("zh") else f"{en} {action_en}"

    def fault_at(self, stage: str) -> Fault:
        """Who can do something about it where it arose; before a run it is the node's own machine that is not well."""
        return Fault.PARTY if stage == Stage.PREFLIGHT and self.code in _OWN_AT_PREFLIGHT else self.fault


class Refused(DomainError):
    """A run refused or ended with a code of the closed list; `code` is the instance's own."""

    status = 409

    def __init__(self, code: str) -> None:
        self.failure = get(code)
        super().__init__(f"{self.failure.en} {self.failure.action_en}")
        self.code = code  # type: ignore[misc]  # one class for the whole list: the code is the instance's


_A, _B, _P, _X, _N = Fault.PARTY, Fault.BUYER, Fault.PROVIDER, Fault.EXCHANGE, Fault.NOBODY

_TABLE: tuple[tuple[str, Stage, Fault, str, str, str, str], ...] = (
    (
        "DOCUMENT_INVALID",
        Stage.ADMISSION,
        _X,
        "任务包中有文件不符合其版本的格式。",
        "A document of the job bundle does not have the form of its version.",
        "请交易所核对版本后重新派发。",
        "The exchange checks versions and dispatches again.",
    ),
    (
        "EXCHANGE_SIGNATURE_INVALID",
        Stage.ADMISSION,
        _X,
        "任务没有本节点所固定的交易所密钥的有效签名。",
        "The job lacks a valid signature by the exchange key pinned at this node.",
        "请节点负责人核对配置中的交易所密钥。",
        "The node's owner compares the exchange key in the configuration.",
    ),
    (
        "CONTRACT_UNKNOWN",
        Stage.ADMISSION,
        _A,
        "本节点的主人没有接受这份合约。",
        "The owner of this node has not accepted this contract.",
        "请运行 hengshu-node contract accept。",
        "Run hengshu-node contract accept with the signed contract.",
    ),
    (
        "TERMS_CHANGED",
        Stage.ADMISSION,
        _X,
        "合约条款与本节点接受的版本不同。",
        "The contract terms differ from those this node accepted.",
        "请按已签署的条款派发。",
        "Dispatch under the terms that were signed.",
    ),
    (
        "CONTRACT_SIGNATURE_INVALID",
        Stage.ADMISSION,
        _X,
        "合约缺少某一方以固定密钥作出的有效签名。",
        "The contract lacks a valid signature by a party's pinned key.",
        "请各方重新签署后再接受合约。",
        "Let every party sign, then accept the contract again.",
    ),
    (
        "REQUEST_SIGNATURE_INVALID",
        Stage.ADMISSION,
        _B,
        "计算请求没有需方的有效签名。",
        "The computation request lacks the buyer's valid signature.",
        "请需方用登记的密钥重新提交。",
        "The buyer submits again with the registered key.",
    ),
    (
        "REQUEST_MISMATCH",
        Stage.ADMISSION,
        _X,
        "任务与合约或计算请求不一致。",
        "The job does not match the contract or the request.",
        "请交易所按原请求重新派发。",
        "The exchange dispatches the request as it was signed.",
    ),
    (
        "AUDIENCE_WRONG",
        Stage.ADMISSION,
        _X,
        "这项任务不是给本节点的。",
        "This job is not addressed to this node.",
        "请交易所派发给任务所列的机构。",
        "The exchange dispatches it to the organisation the job names.",
    ),
    (
        "OPERATION_UNKNOWN",
        Stage.ADMISSION,
        _B,
        "本节点没有这种运算。",
        "This node knows no such operation.",
        "请从合约所列运算中选择。",
        "Choose one of the contract's operations.",
    ),
    (
        "PARAMETERS_OUT_OF_TERMS",
        Stage.ADMISSION,
        _B,
        "参数超出合约范围。",
        "The parameters go beyond the contract.",
        "请只使用合约所列的列和数据方。",
        "Use only columns and providers that the contract lists.",
    ),
    (
        "PURPOSE_NOT_ALLOWED",
        Stage.ADMISSION,
        _B,
        "请求的用途不是合约约定的用途。",
        "The purpose of the request is not the contract's purpose.",
        "请按合约用途提交或另签合约。",
        "Ask under the contract's purpose or sign another contract.",
    ),
    (
        "ENGINE_NOT_ALLOWED",
        Stage.ADMISSION,
        _X,
        "任务指定的引擎不是合约约定的引擎。",
        "The engine of the job is not the one in the contract.",
        "请按合约约定的引擎派发。",
        "Dispatch with the engine that the contract names.",
    ),
    (
        "RESULT_KEY_SWAPPED",
        Stage.ADMISSION,
        _X,
        "结果公钥不是合约中需方的公钥。",
        "The result key is not the buyer's key in the contract.",
        "请勿继续，先查明是谁替换了公钥。",
        "Stop and find out who exchanged the key.",
    ),
    (
        "DATASET_UNKNOWN",
        Stage.ADMISSION,
        _P,
        "本节点没有合约所列的数据集。",
        "This node does not hold the contract's dataset.",
        "请数据方运行 hengshu-node dataset add。",
        "The provider runs hengshu-node dataset add.",
    ),
    (
        "COMMITMENT_MISMATCH",
        Stage.ADMISSION,
        _P,
        "数据集与登记的承诺值不一致。",
        "The dataset does not match its registered commitment.",
        "请数据方恢复登记的版本或登记新版本。",
        "The provider restores the registered version or registers a new one.",
    ),
    (
        "JOB_OUT_OF_TIME",
        Stage.ADMISSION,
        _X,
        "任务、请求或同意此刻尚未生效或已过期。",
        "The job, the request or a consent is not valid yet, or has expired.",
        "请核对节点与交易所的时钟；已过期的，请需方重新提交请求。",
        "Compare the clocks of node and exchange; if it has expired, the buyer submits a new request.",
    ),
    (
        "CONTRACT_NOT_IN_TERM",
        Stage.ADMISSION,
        _B,
        "合约不在有效期内。",
        "The contract is outside its term.",
        "请续签合约。",
        "Renew the contract.",
    ),
    (
        "CONTRACT_REVOKED",
        Stage.ADMISSION,
        _P,
        "合约已被撤销。",
        "The contract has been revoked.",
        "请联系撤销的一方；撤销后的结果不予交付。",
        "Speak with the party that revoked it; no result is delivered after a revocation.",
    ),
    (
        "KEY_REVOKED",
        Stage.ADMISSION,
        _A,
        "签署合约、请求或任务所用的一把密钥已被撤销。",
        "A key that signed the contract, the request or the job was withdrawn.",
        "请该密钥的机构登记新密钥，并重新订立合约。",
        "Its organisation registers new keys, and the parties agree on a new contract.",
    ),
    (
        "GRANT_MISSING",
        Stage.ADMISSION,
        _P,
        "链上没有这份合约的授权。",
        "There is no grant for this contract on the chain.",
        "请数据方签发链上授权。",
        "The provider sends its grant to the chain.",
    ),
    (
        "GRANT_EXPIRED",
        Stage.ADMISSION,
        _P,
        "链上授权不在有效期内或次数已用完。",
        "The grant on the chain is outside its window or used up.",
        "请数据方签发新的授权。",
        "The provider sends a new grant.",
    ),
    (
        "CHAIN_UNAVAILABLE",
        Stage.ADMISSION,
        _P,
        "本节点读不到链，无法确认授权。",
        "This node cannot read the chain, so the grant cannot be confirmed.",
        "请检查节点配置的链地址，稍后重试。",
        "Check the node's chain endpoint and try later.",
    ),
    (
        "AUTHORIZATION_NOT_LOGGED",
        Stage.ADMISSION,
        _X,
        "授权没有可验证的存证。",
        "The authorization has no valid proof of inclusion in the log.",
        "请交易所等待检查点签发后再派发。",
        "The exchange waits for a signed checkpoint, then dispatches.",
    ),
    (
        "LOG_KEY_WRONG",
        Stage.ADMISSION,
        _X,
        "检查点不是由本节点所固定的存证密钥签署的。",
        "The checkpoint is not signed by the log key pinned at this node.",
        "请核对固定的密钥；不符即应报告。",
        "Compare the pinned log key and report a difference.",
    ),
    (
        "AUTHORIZATION_MISMATCH",
        Stage.ADMISSION,
        _X,
        "存证的授权不是这项任务的授权。",
        "The logged authorization is not for this job.",
        "请交易所按存证内容派发。",
        "The exchange dispatches what was authorized.",
    ),
    (
        "CONSENT_MISSING",
        Stage.CONSENT,
        _P,
        "缺少某一方对本次计算的有效同意。",
        "A party's valid consent to this run is missing.",
        "请该方给出同意。",
        "That party gives its consent.",
    ),
    (
        "CONSENT_REFUSED",
        Stage.CONSENT,
        _P,
        "有一方不同意本次计算。",
        "A party refused this run.",
        "请与该方沟通后重新提交。",
        "Speak with that party and submit again.",
    ),
    (
        "NODE_PAUSED",
        Stage.ADMISSION,
        _A,
        "节点已由其主人暂停。",
        "The node has been paused by its owner.",
        "请等待其主人运行 hengshu-node resume。",
        "Wait until its owner runs hengshu-node resume.",
    ),
    (
        "JOB_REPLAYED",
        Stage.ADMISSION,
        _X,
        "这项任务已经执行过。",
        "This job has been here before.",
        "请需方提交新的请求。",
        "The buyer submits a new request.",
    ),
    (
        "QUOTA_EXHAUSTED",
        Stage.ADMISSION,
        _B,
        "本节点记录的合约额度或该表的隐私预算已用完。",
        "The contract's quota, or the table's privacy budget, is used up at this node.",
        "请等到明日或扩大额度。",
        "Wait for tomorrow or extend the quota.",
    ),
    (
        "GROUPING_NOT_A_BLOCK",
        Stage.GATE,
        _B,
        "分组列不是数据方声明的分块维度。",
        "A grouping column is not a declared block dimension.",
        "请只按声明的分块维度分组。",
        "Group by declared block dimensions only.",
    ),
    (
        "PARTITION_DIFFERS",
        Stage.GATE,
        _B,
        "这些取值已按另一种分块回答过；两种分块相减可能指向少数人。",
        "These values were answered over other blocks before; subtracting the two could single out few persons.",
        "请沿用先前的分组方与版本；改换分组须约定新的数据版本，或改问加噪结果。",
        "Keep to the group provider and versions used before; ask for other blocks of new data, or with noise.",
    ),
    (
        "FILTER_NOT_A_BLOCK",
        Stage.GATE,
        _B,
        "筛选列或取值不是数据方声明的分块维度。",
        "A filter is not on a declared block dimension and its values.",
        "请只按声明的分块维度筛选。",
        "Filter by declared block dimensions only.",
    ),
    (
        "RESULT_TOO_LARGE",
        Stage.GATE,
        _B,
        "结果超过合约约定的大小。",
        "The result is larger than the contract allows.",
        "请减少分组或列。",
        "Ask for fewer groups or columns.",
    ),
    (
        "LINK_FAILED",
        Stage.LINK,
        _A,
        "与另一方的连接失败或中断。",
        "The link to another party failed or was lost.",
        "请检查各节点的地址与端口后重新提交。",
        "Check the nodes' addresses and ports, then submit again.",
    ),
    (
        "ENGINE_FAILED",
        Stage.RUN,
        _A,
        "计算引擎未能完成。",
        "The engine did not finish.",
        "请重新提交；若再次发生请查看节点日志。",
        "Submit again; if it happens again read the node's journal.",
    ),
    (
        "DEADLINE_PASSED",
        Stage.RUN,
        _A,
        "计算超过时限。",
        "The run passed its deadline.",
        "请稍后重新提交。",
        "Submit again later.",
    ),
    (
        "LEASE_LOST",
        Stage.RUN,
        _A,
        "节点失联，任务已收回。",
        "The node was silent and the task was taken back.",
        "请检查节点是否在运行。",
        "Check that the node is running.",
    ),
    (
        "RUN_INTERRUPTED",
        Stage.RUN,
        _A,
        "节点在计算中重启，本次计算作废。",
        "The node restarted during the run, which is void.",
        "请重新提交；作废的计算不收费。",
        "Submit again; a void run costs nothing.",
    ),
    (
        "RUN_CANCELLED",
        Stage.RUN,
        _N,
        "计算已被取消。",
        "The run was cancelled.",
        "请查看是哪一方结束了它。",
        "See which party ended it.",
    ),
)

# What a code says when it ends a run at pre-flight: before any row was read, and nothing charged.
AT_PREFLIGHT: Mapping[str, tuple[str, str, str, str]] = {
    "LINK_FAILED": (
        "节点之间未能在时限内互相连通。",
        "The nodes did not reach each other in time.",
        "请核对各节点的地址、端口与防火墙；不能直连的，请配置中继后重新提交。",
        "Check each node's address, ports and firewall, or configure a relay; then submit again.",
    ),
    "JOB_OUT_OF_TIME": (
        "节点的时钟与对方或交易所相差超过一分钟。",
        "A node's clock differs from a peer's or the exchange's by more than a minute.",
        "请该节点校准时钟（NTP）后重新提交。",
        "That node sets its clock by NTP; then submit again.",
    ),
    "ENGINE_FAILED": (
        "节点的内存或磁盘不足以完成本次计算。",
        "The node lacks the memory or the disk for this run.",
        "请其负责人释放空间或调高 engine_memory_mb，或减少所问的列。",
        "Its owner frees space or raises engine_memory_mb, or the buyer asks for fewer columns.",
    ),
    "PARAMETERS_OUT_OF_TERMS": (
        "各方数据的列、类型或行数量级不适合本次计算。",
        "The parties' columns, their types or their number of rows do not suit this run.",
        "请数据方核对数据说明，或需方另选列与最小组人数。",
        "The providers compare their schemas, or the buyer chooses other columns or a smaller group size.",
    ),
    "REQUEST_MISMATCH": (
        "对方节点准备执行的是另一项任务。",
        "A peer's node is about to run another job.",
        "请交易所重新派发。",
        "The exchange dispatches it again.",
    ),
}

_OWN_AT_PREFLIGHT = frozenset({"LINK_FAILED", "JOB_OUT_OF_TIME", "ENGINE_FAILED"})

CODES: Mapping[str, FailureCode] = {row[0]: FailureCode(*row) for row in _TABLE}


def get(code: str) -> FailureCode:
    """The code's entry; KeyError for a code outside the closed list."""
    return CODES[code]


def is_known(code: str) -> bool:
    """Whether a code is on the closed list."""
    return code in CODES
