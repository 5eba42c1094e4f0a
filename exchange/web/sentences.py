"""What each code says in Chinese. English sentences are written where the reason is, next to the code.

`docs/reference/errors.md` is drawn from this table and the error classes; a test finds a code without a sentence.
"""

from collections.abc import Mapping

from compute.protocol import codes

CHINESE: Mapping[str, str] = {
    # the web kit
    "SIGN_IN_NEEDED": "请先登录，或在请求中附上有效的访问令牌。",
    "JSON_INVALID": "请求正文不是严格的 JSON（UTF-8，无重复键、无浮点数）。请更正后重发。",
    "JSON_TOO_LARGE": "请求正文过大。请缩小后重发。",
    "METHOD_NOT_ALLOWED": "此地址不接受这种请求方法。请查阅接口说明。",
    "NOT_ACCEPTABLE": "只提供 JSON 格式的答复。",
    "MEDIA_TYPE_UNSUPPORTED": "请以 application/json 发送请求正文。",
    "TOO_MANY_REQUESTS": "请求过于频繁。请稍候再试。",
    "SERVER_ERROR": "我们这边出了问题。请稍后再试；若仍不行，请联系运维。",
    "BODY_NOT_OBJECT": "请求正文必须是一个 JSON 对象。",
    "IDEMPOTENCY_KEY_REUSED": "这个幂等键已用于另一个请求。每个请求请用各自的键。",
    "IDEMPOTENCY_IN_FLIGHT": "同一幂等键的首个请求仍在处理。请稍候再问。",
    "IDEMPOTENCY_KEY_INVALID": "幂等键须为 1 至 255 个可打印的 ASCII 字符。",
    # kernel
    "REFUSED": "请求未被接受。",
    "INVALID_INPUT": "有字段缺失或有误。请更正后重发。",
    "INVALID_TRANSITION": "当前状态不允许这一步。请刷新后查看可以做什么。",
    "PERMISSION_REFUSED": "您的角色不包含这一步。请由具有相应角色的同事办理。",
    "NOT_FOUND": "这里没有您可以查看的内容。请核对地址或编号。",
    # members
    "ORGANIZATION_NOT_FOUND": "没有您可以查看的这个机构。请核对编号。",
    "ORGANIZATION_NOT_ADMITTED": "贵机构目前未获准入或已被暂停。请联系交易所准入部门。",
    "ORGANIZATION_EXISTS": "该统一社会信用代码的机构已经入场或正在申请。请联系该机构的同事将您加入。",
    "MEMBERSHIP_MISSING": "您在此未代表任何机构。请登录，或请同事将您加入机构。",
    "ROLE_UNSUITED": "该角色不属于这类机构。请选择与机构类别相符的角色。",
    "OWN_AFFAIR": "不得办理与自己有关的事项。请由另一位同事办理。",
    "REASON_MISSING": "该决定须写明理由，供对方阅读。",
    "KEY_CARD_INVALID": "公钥卡无效。请用 hengshu keys card 重新生成并原样提交。",
    "KEY_TAKEN": "卡上的密钥已登记过；密钥不得重复使用。请用 hengshu keys new 生成新的密钥。",
    "KEY_MISSING": "该机构没有此用途的有效密钥。请先登记公钥卡。",
    "EXCHANGE_NOT_READY": "交易所尚未初始化。请运维运行 manage.py init_exchange。",
    "TOKEN_INVALID": "访问令牌无效、已过期或已撤回。请重新登录。",
    "SIGN_IN_REFUSED": "用户名、密码或动态口令不符。请核对后再试。",
    "SECOND_FACTOR_NEEDED": "该账户需要动态口令。请附上 code 后重试。",
    "KEY_FILE_INVALID": "密钥文件无法使用。请检查路径、权限与口令。",
    # computations
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
    "REVIEW_REJECTED": "审核未通过，计算已终止，额度已退还。请查看审核理由。",
    "CONSENT_REFUSED": "有一方拒绝同意，计算已终止，额度已退还。请与该方联系。",
    "WITHDRAWN_BY_BUYER": "买方已撤回请求，额度已退还。",
    "POLICY_CHANGED": "产品分级或策略已变化，须经审核，请重新提交请求。",
    "PARTIES_NOT_READY": "有参与方的节点未在期限内就绪，额度已退还。请确认各节点在线后重新提交。",
}


def sentence(code: str, *, english: str, language: str) -> str:
    """What a code says to this reader: Chinese from the table, else the English sentence that came with it."""
    if not language.startswith("zh"):
        return english
    if code in CHINESE:
        return CHINESE[code]
    return codes.get(code).sentence("zh") if codes.is_known(code) else english
