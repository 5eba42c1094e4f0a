"""Why a computation is turned down: codes for programs, sentences for people."""

from collections.abc import Mapping

from exchange.kernel.errors import DomainError


class RequestInvalid(DomainError):
    """The request document is malformed, unsigned, or does not fit the contract."""

    code = "REQUEST_INVALID"
    status = 400


class RequestSignatureInvalid(DomainError):
    """The request was not signed by the buyer's key that the contract names."""

    code = "REQUEST_SIGNATURE_INVALID"
    status = 400


class RequestExpired(DomainError):
    """The request's own period is over, or begins too far from now."""

    code = "REQUEST_EXPIRED"
    status = 400


class TermsChanged(DomainError):
    """The request names other terms than those signed."""

    code = "TERMS_DIGEST_MISMATCH"


class ComputationExists(DomainError):
    """Another request has this computation's id."""

    code = "COMPUTATION_EXISTS"


class OperationNotAgreed(DomainError):
    """The contract does not name this operation, engine or purpose."""

    code = "OPERATION_NOT_AGREED"


class TechniqueNotAllowed(DomainError):
    """The policy table does not allow this technique for this data and purpose."""

    code = "TECHNIQUE_NOT_ALLOWED"


class GroupsTooSmall(DomainError):
    """The policy wants larger groups than the request asks for."""

    code = "GROUPS_TOO_SMALL"


class ConcurrencyExceeded(DomainError):
    """As many computations as the contract allows at once are under way."""

    code = "CONCURRENCY_EXCEEDED"


class ProductNotAvailable(DomainError):
    """A product of the contract is no longer listed, or its certificate does not stand."""

    code = "PRODUCT_NOT_AVAILABLE"


class ReviewRefused(DomainError):
    """This review cannot be made: no reason given, or no review is due."""

    code = "REVIEW_REFUSED"


class ConsentInvalid(DomainError):
    """The consent document does not fit the computation or its signer."""

    code = "CONSENT_INVALID"
    status = 400


class ConsentClosed(DomainError):
    """An answer has been recorded, or none is asked for any more."""

    code = "CONSENT_CLOSED"


class TaskNotAvailable(DomainError):
    """There is no such task for this organisation to take now."""

    code = "TASK_NOT_AVAILABLE"


class LeaseLost(DomainError):
    """The task was taken back: the lease ran out or a newer claim holds it."""

    code = "LEASE_LOST"


class TaskClosed(DomainError):
    """The task has ended; nothing more is taken for it."""

    code = "TASK_CLOSED"


class OfferInvalid(DomainError):
    """The link offer does not fit the task."""

    code = "OFFER_INVALID"
    status = 400


class ReportInvalid(DomainError):
    """The execution report does not fit the task, the job or its signer."""

    code = "REPORT_INVALID"
    status = 400


class PartInvalid(DomainError):
    """The sealed part is not what the report says it is."""

    code = "PART_INVALID"
    status = 400


class PartTooLarge(DomainError):
    """The sealed part is larger than the contract allows."""

    code = "PART_TOO_LARGE"
    status = 413


class ReportConflict(DomainError):
    """Another report has been recorded for this task."""

    code = "REPORT_CONFLICT"


class NotReleased(DomainError):
    """The result has not been released yet."""

    code = "NOT_RELEASED"


class NodeMessageInvalid(DomainError):
    """The node's message is malformed or is not meant for this request."""

    code = "NODE_MESSAGE_INVALID"
    status = 400


class NodeUnknown(DomainError):
    """No admitted organisation with a valid key has signed this message."""

    code = "NODE_UNKNOWN"
    status = 401


class MessageOutOfTime(DomainError):
    """The message was made too long ago, or in the future."""

    code = "MESSAGE_OUT_OF_TIME"
    status = 401


class MessageReplayed(DomainError):
    """The message has been received before."""

    code = "MESSAGE_REPLAYED"


_ZH: Mapping[str, str] = {
    "REQUEST_INVALID": "请求文件格式不符，请用 hengshu compute submit 重新生成。",
    "REQUEST_SIGNATURE_INVALID": "请求未由合约所列的买方密钥签名，请核对密钥文件后重新签名。",
    "REQUEST_EXPIRED": "请求已过有效期，请重新生成。",
    "TERMS_DIGEST_MISMATCH": "请求所指条款与已签署条款不同，请重新读取合约后再提交。",
    "COMPUTATION_EXISTS": "该编号已用于另一份请求，请生成新的请求。",
    "OPERATION_NOT_AGREED": "合约未约定该操作、引擎或用途，请修改请求或另订合约。",
    "TECHNIQUE_NOT_ALLOWED": "策略表不允许以该技术处理这些数据，请查看命中的规则。",
    "GROUPS_TOO_SMALL": "策略要求更大的最小分组，请提高 min_group 后重新提交。",
    "CONCURRENCY_EXCEEDED": "合约允许的并发计算已满，请等待前一次结束。",
    "PRODUCT_NOT_AVAILABLE": "合约中的产品已停牌或凭证失效，请联系提供方。",
    "REVIEW_REFUSED": "无法作出该审核，请填写理由并确认计算处于待审核状态。",
    "CONSENT_INVALID": "同意书与本次计算或签署方不符。",
    "CONSENT_CLOSED": "该方的答复已记录，或已不再需要。",
    "TASK_NOT_AVAILABLE": "没有可领取的任务，请稍后再轮询。",
    "LEASE_LOST": "任务租约已失效，请停止本次运行。",
    "TASK_CLOSED": "任务已结束，不再接收内容。",
    "OFFER_INVALID": "连接邀约与任务不符。",
    "REPORT_INVALID": "执行报告与任务、作业或签署方不符。",
    "PART_INVALID": "密封结果与报告不符，请检查后重新提交。",
    "PART_TOO_LARGE": "密封结果超过合约约定的大小。",
    "REPORT_CONFLICT": "该任务已有另一份报告。",
    "NOT_RELEASED": "结果尚未放行，请稍后再取。",
    "NODE_MESSAGE_INVALID": "节点消息格式不符或不是发往此处。",
    "NODE_UNKNOWN": "消息未由已准入机构的有效密钥签名。",
    "MESSAGE_OUT_OF_TIME": "消息时间与交易所相差超过五分钟，请校准时钟。",
    "MESSAGE_REPLAYED": "该消息已收到过，请以新的随机数重新发送。",
}


def sentence_zh(code: str) -> str:
    """The Chinese sentence of one of this app's codes, for pages; empty for a code of another app."""
    return _ZH.get(code, "")
