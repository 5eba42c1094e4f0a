"""A lived-in exchange for tests of pages: people of every role, and things in every state worth looking at."""

from dataclasses import dataclass, field

from compute.actions import computations
from compute.models import Computation
from contracts.models import Contract
from exchange.members.actions import organizations
from exchange.members.models import Membership, Organization, User
from exchange.members.permissions import STAFF_ROLES, Role
from listings.models import Product, RegistrationCertificate
from tests.factories import listings, members, objections
from tests.factories.compute import World, run_to_ready, settle

PASSWORD = members.PASSWORD
STAFF = (
    Role.ADMISSION_OFFICER,
    Role.COMPLIANCE_REVIEWER,
    Role.REGISTRAR,
    Role.LISTING_OFFICER,
    Role.SETTLEMENT_CLERK,
    Role.AUDITOR,
)


@dataclass
class Scene:
    """Who and what there is. `people` are user names by role; every password is PASSWORD."""

    world: World
    released: Computation
    waiting: Computation
    listed: Product
    submitted: Product
    draft: Product
    certificate: RegistrationCertificate
    applicant: Organization
    people: dict[Role, str] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        return self.world.contract

    def pages_of(self, role: Role | None) -> dict[str, str]:
        """Names and addresses of the pages that a role (None: a visitor) looks at."""
        product, contract = f"/products/{self.listed.ref}/", f"/contracts/{self.contract.ref}/"
        public = {
            "home": "/",
            "catalogue": "/catalogue/",
            "product": product,
            "certificate": f"/certificates/{self.certificate.number}/",
            "ledger": "/ledger/",
            "entry": f"/ledger/entries/{self.certificate.entry_ref}/",
            "verify": "/ledger/verify/",
            "about": "/about/",
            "subject": "/subject/",
            "organization": f"/organizations/{self.listed.provider.ref}/",
        }
        if role is None:
            return public | {"login": "/accounts/login/", "signup": "/accounts/signup/", "missing": "/nothing-here/"}
        member = {
            "workplace": "/workplace/",
            "account": "/account/",
            "contracts": "/contracts/",
            "contract": contract,
            "computations": "/computations/",
            "released": f"/computations/{self.released.ref}/",
            "waiting": f"/computations/{self.waiting.ref}/",
        }
        pages = {
            Role.BUYER: member
            | {
                "propose": f"/contracts/propose/?product={self.listed.ref}",
                "builder": f"/computations/new/{self.contract.ref}/",
            },
            Role.PROVIDER: member
            | {"mine": "/products/", "new-product": "/products/new/", "objections": "/objections/"},
            Role.ADMISSION_OFFICER: {
                "desk": "/desk/",
                "applications": "/desk/organizations/",
                "application": f"/desk/organizations/{self.applicant.ref}/",
            },
            Role.COMPLIANCE_REVIEWER: {
                "desk-products": "/desk/products/",
                "desk-product": f"/desk/products/{self.submitted.ref}/",
                "desk-computations": "/desk/computations/",
            },
            Role.SETTLEMENT_CLERK: {"deposits": "/desk/deposits/", "clerk-contract": contract},
            Role.AUDITOR: {"auditor-desk": "/desk/", "objections": "/desk/objections/", "health": "/desk/health/"},
        }
        return pages.get(role, {})


def scene() -> Scene:
    """Build it all through the actions that people use; computations run on nodes in this process."""
    world = World(specification={"legal_basis": "statutory_duty"})
    for organization, zh, en in (
        ("fund-a", "澄江市住房公积金中心", "Chengjiang Housing Fund"),
        ("fund-b", "云岭市住房公积金中心", "Yunling Housing Fund"),
        ("bank", "远山银行", "Yuanshan Bank"),
    ):
        Organization.objects.filter(pk=world.organizations[organization].pk).update(name_zh=zh, name_en=en)
        world.organizations[organization].refresh_from_db()
    released = computations.submit(document=world.request(), by=world.buyer)
    nodes = world.nodes()
    for node in nodes:
        node.consent()
    settle(released)
    run_to_ready(nodes)
    for node in nodes:
        node.submit()
    settle(released)
    objections.in_every_state(released.tasks.get(rank=0), world.organizations["fund-a"])
    waiting = computations.submit(document=world.request(), by=world.buyer)
    certificate = listings.certificate(by=world.provider)
    listed = _list(certificate.version.product)
    _remove_bare_products(world)
    submitted = listings.submitted(by=world.provider, name_zh="澄江市缴存人群画像统计", name_en="Depositor statistics")
    draft = listings.draft(by=world.provider, name_zh="澄江市贷款余额统计", name_en="Outstanding loans")
    applicant = organizations.apply(
        by=members.person(username="applicant"),
        name_zh="临港数据科技有限公司",
        name_en="Lingang Data Technology",
        uscc=members.uscc(4242),
        kinds=["supplier", "consulting"],
        business_status={"legal_representative": "王一", "scope": "数据处理服务", "address": "澄江市港区一号"},
        contact={"name": "李二", "email": "contact@example.org"},
    )
    people = {Role.BUYER: world.buyer, Role.PROVIDER: world.provider}
    people |= {role: members.membership(role) for role in STAFF if role in STAFF_ROLES}
    settle(waiting)
    return Scene(
        world=world,
        released=released,
        waiting=waiting,
        listed=listed,
        submitted=submitted,
        draft=draft,
        certificate=certificate,
        applicant=applicant,
        people={role: _named(membership, role) for role, membership in people.items()},
    )


def _list(product: Product) -> Product:
    from listings.actions import listing

    return listing.list_(product=product, by=members.membership(Role.LISTING_OFFICER))


def _remove_bare_products(world: World) -> None:
    """Give the products of the computing world names people would give them."""
    for name, zh, en in (
        ("fund-a", "澄江市公积金缴存联合统计", "Chengjiang deposits, joint statistics"),
        ("fund-b", "云岭市公积金缴存联合统计", "Yunling deposits, joint statistics"),
    ):
        Product.objects.filter(provider=world.organizations[name], name_zh=name).update(name_zh=zh, name_en=en)


def _named(membership: Membership, role: Role) -> str:
    user: User = membership.user
    user.username = role.value
    user.email = f"{role.value}@example.org"
    user.set_password(PASSWORD)
    user.save()
    return user.username
