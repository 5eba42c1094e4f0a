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
    # contracts
    "CONTRACT_NOT_FOUND": "没有您可以查看的这份合约。请查看您的合约列表。",
    "PARTY_KEYS_MISSING": "有一方未获准入或尚未登记全部公钥。请其先登记公钥卡。",
    "PRODUCT_NOT_OFFERED": "有产品目前未挂牌、无有效登记凭证或未提交数据承诺。请另选产品。",
    "PROPOSAL_INVALID": "所选产品与条件不能订立合约。请按提示修改。",
    "PRICE_UNSUPPORTED": "价格须为含税人民币。请填写含税单价。",
    "TERMS_CHANGED": "所签文件与提出的条款不同。请重新读取合约后再签署。",
    "SIGNER_NOT_PARTY": "贵机构不是该合约的有权签署方，或条款中的密钥目前无效。",
    "SIGNATURE_REFUSED": "签名无效或缺失。请用条款所列密钥重新签署。",
    "CONTRACT_NOT_SIGNABLE": "合约当前状态不接受签署或授权。请查看合约页面。",
    "GRANT_INVALID": "链上授权与条款、链或签署方不符。请重新生成授权。",
    "CHAIN_UNAVAILABLE": "目前没有可登记授权的链，或条款不要求上链。",
    "REVOCATION_INVALID": "撤销书不属于该合约，或序号不大于上一次。",
    "CONTRACT_NOT_FUNDABLE": "合约当前状态不接受入金。签署完成后、终止之前可入金。",
    "BANK_LINE_USED": "该银行流水已用于另一合约或金额。请核对对账单。",
    "AMOUNT_INVALID": "金额须为正整数（分）。请更正。",
    "USAGE_REFUSED": "合约目前不允许这次使用。",
    "USAGE_INVALID": "用量须为不小于一的整数。",
    "CONTRACT_NOT_EFFECTIVE": "合约未生效或不在有效期内。请在合约页面查看尚缺的步骤。",
    "CONTRACT_REVOKED": "提供方已撤销该合约。请另行提出合约。",
    "PURPOSE_NOT_ALLOWED": "该用途不在合约约定之内。",
    "OPERATION_NOT_ALLOWED": "该操作不在合约约定之内。",
    "COLUMN_NOT_GRANTED": "所用字段不在合约约定之内。请从合约字段中选择。",
    "QUOTA_EXHAUSTED": "合约额度已用完。请另订合约。",
    "DAILY_QUOTA_EXHAUSTED": "今日额度已用完。请明日再试。",
    "RATE_EXCEEDED": "一分钟内的次数超过约定。请稍候。",
    "ESCROW_TOO_LOW": "预付款不足以支付一次运行。请先入金。",
    "RESERVATION_SUBJECT_REUSED": "该编号已预留其他用量。每次运行请用各自的编号。",
    "RESERVATION_UNKNOWN": "该编号下没有预留或计费。",
    "RESERVATION_RESOLVED": "该预留已经结清，不能再次处理。如有异议请提起争议。",
    "REPORTS_MISSING": "计费须有节点签名的执行报告。",
    "BALANCE_TOO_LOW": "账户余额不足。",
    "PERIOD_INVALID": "账期须为 2026-11 这样的月份，或 all。",
    "STATEMENT_WRONG": "结算单的数字与条款或输入不符。请提起争议。",
    "MONEY_WRONG": "账目不平。核查之前不得结算。",
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
