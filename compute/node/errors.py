"""What a node's owner is told when a command cannot be done: a code, and what to do next in zh and en."""

from typing import ClassVar

from exchange.kernel.errors import DomainError


class NodeError(DomainError):
    """A refusal of the node's own tools; `zh` is the same sentence in Chinese."""

    code: ClassVar[str] = "NODE_REFUSED"
    status = 400

    def __init__(self, message: str, *, zh: str) -> None:
        super().__init__(message)
        self.zh = zh


class ConfigInvalid(NodeError):
    """config.toml is missing or wrong."""

    code = "CONFIG_INVALID"


class DatasetInvalid(NodeError):
    """A file or its schema cannot be taken as a dataset: the line and the reason, never the value.

    Args:
        reason: a stable word such as `RAGGED_ROW`.
        line: line of the file, or row of the table, from 1; 0 for the schema or the source as a whole.
        unit: what `line` counts, `line` or `row`.
    """

    code = "DATASET_INVALID"

    def __init__(
        self, reason: str, message: str, *, zh: str, line: int = 0, column: str = "", unit: str = "line"
    ) -> None:
        place_en = (f"{unit.capitalize()} {line}: " if line else "") + (f"column {column}: " if column else "")
        place_zh = (f"第 {line} 行：" if line else "") + (f"列 {column}：" if column else "")
        super().__init__(place_en + message, zh=place_zh + zh)
        self.reason = reason
        self.line = line
        self.column = column


class ContractNotAccepted(NodeError):
    """The contract cannot be accepted, or is not among the accepted ones."""

    code = "CONTRACT_NOT_ACCEPTED"


class ConsentNotPossible(NodeError):
    """There is nothing to decide, or it is decided already."""

    code = "CONSENT_NOT_POSSIBLE"


class JournalBroken(NodeError):
    """The journal's hash chain does not hold."""

    code = "JOURNAL_BROKEN"


class ExchangeUnavailable(NodeError):
    """The exchange did not answer, or answered that it cannot serve now; ask again later."""

    code = "EXCHANGE_UNAVAILABLE"
    status = 503


class ExchangeRefused(NodeError):
    """The exchange understood a message and turned it down; `answer` is its code."""

    code = "EXCHANGE_REFUSED"

    def __init__(self, answer: str, status: int) -> None:
        super().__init__(f"The exchange answered {answer}.", zh=f"交易所答复：{answer}。")
        self.answer = answer
        self.http_status = status
