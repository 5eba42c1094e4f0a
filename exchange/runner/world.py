"""The cast of the demo: six organisations, their people, and what the providers sell.

All invented. Passwords are printed on start: they open a demo on loopback and nothing else.
"""

from dataclasses import dataclass

from exchange.kernel.identifiers import uscc_check_character

PASSWORD = "hengshu-demo-2026"  # noqa: S105 - printed on purpose; the demo listens on loopback only


@dataclass(frozen=True, slots=True)
class Member:
    """One organisation of the demo.

    Args:
        code: the name of its directory, its node and its demo account.
        kinds: data-merchant kinds it applies for.
        serial: nine digits that make its invented social credit code.
        role: the role of its demo account.
    """

    code: str
    name_zh: str
    name_en: str
    kinds: tuple[str, ...]
    serial: str
    role: str
    port_offset: int

    @property
    def uscc(self) -> str:
        body = f"91990000{self.serial}"
        return body + uscc_check_character(body)


@dataclass(frozen=True, slots=True)
class Account:
    """A person who can sign in to the demo's pages."""

    username: str
    name: str
    role: str
    organization: str | None


MEMBERS = (
    Member("fund-a", "澄江市住房公积金中心", "Chengjiang Housing Fund", ("supplier",), "MA0FUNDA1", "provider", 0),
    Member("fund-b", "云岭市住房公积金中心", "Yunling Housing Fund", ("supplier",), "MA0FUNDB2", "provider", 10),
    Member(
        "social", "澄江市社会保险局", "Chengjiang Social Security Office", ("supplier",), "MA0C1A1N3", "provider", 20
    ),
    Member("bank", "远山银行", "Yuanshan Bank", ("demander",), "MA0BANK44", "buyer", 30),
    Member("helper", "中立计算服务中心", "Neutral Compute Centre", ("delivery",), "MA0HEPR55", "delivery_party", 40),
    Member("civil", "澄江市民政局", "Chengjiang Civil Affairs Bureau", ("supplier",), "MA0CAFB06", "provider", 50),
)
PROVIDERS = ("fund-a", "fund-b", "social", "civil")

STAFF = (
    Account("admission", "准入审核员", "admission_officer", None),
    Account("reviewer", "合规审核员", "compliance_reviewer", None),
    Account("registrar", "登记员", "registrar", None),
    Account("listing", "挂牌专员", "listing_officer", None),
    Account("clerk", "结算员", "settlement_clerk", None),
    Account("auditor", "审计员", "auditor", None),
)


def member(code: str) -> Member:
    """The member of this code; KeyError for another."""
    return next(one for one in MEMBERS if one.code == code)
