"""What the command line turns down, in both languages, and the number it exits with."""

from typing import ClassVar

from exchange.kernel.errors import DomainError

EXIT_OK = 0
EXIT_REFUSED = 1  # understood and turned down, or a check failed
EXIT_USAGE = 2  # argparse's own
EXIT_LOGIN = 3
EXIT_UNREACHABLE = 4
EXIT_SERVER = 5
EXIT_INTERRUPTED = 130


class ClientError(DomainError):
    """A refusal of the command line itself or of the exchange it speaks to.

    Args:
        code: stable upper-snake-case word; the instance's own.
        zh: the sentence in Chinese; the English one where there is none.
        exit_code: what the process exits with.
    """

    code: ClassVar[str] = "CLIENT_REFUSED"
    status = 400

    def __init__(self, code: str, message: str, *, zh: str = "", exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # one class for all codes: the code is the instance's
        self.zh = zh or message
        self.exit_code = exit_code


# Chinese sentences for refusals that shared code words in English only.
ZH_BY_CODE = {
    "KEY_FILE_INVALID": "密钥文件不可用：请确认路径、口令和文件权限（chmod 600），或用 hengshu keys new 新建。",
    "DOCUMENT_INVALID": "文件不符合其版本规定的格式。",
    "PARAMETERS_OUT_OF_TERMS": "参数超出合约约定的范围。",
    "OPERATION_UNKNOWN": "本版本不支持该运算。",
    "STATEMENT_WRONG": "结算单的数字与合约条款不符，可提出争议。",
    "SIGNATURE_INVALID": "签名与内容不符。",
    "SIGNATURE_MISSING": "缺少必要的签名。",
    "SEAL_INVALID": "该结果分片不是为此密钥、此次运行密封的。",
    "JSON_INVALID": "文件不是严格的 UTF-8 JSON。",
    "POLICY_INVALID": "信任策略文件格式不对。",
}
