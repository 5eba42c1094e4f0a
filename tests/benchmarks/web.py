"""Pages through gunicorn as the demo starts it, from eight open connections; and what the front page weighs."""

import gzip
import http.client
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from exchange.runner import embedded, supervisor
from exchange.runner.supervisor import Process, Supervisor
from tests.benchmarks import _exchange
from tests.benchmarks._timing import load, percentiles

PRODUCTS = 20_000
CONNECTIONS = 8
SPAN = 2.0
CITIES = ["澄江市", "云岭市", "远山市", "临港市", "松原县", "柳湾县", "石桥区", "东陵区"]
SUBJECTS = ["住房公积金", "社会保险", "不动产登记", "企业用电", "公共信用", "医疗结算", "道路运输", "农业保险"]
FORMS = ["缴存统计", "月度汇总", "画像统计", "联合统计", "指标查询"]


def run() -> Iterator[tuple[str, str]]:
    directory = _exchange.start()
    _products()
    port = supervisor.free_ports(1, start=19500)[0]
    command = [sys.executable, "-m", "gunicorn", "--preload", "-b", f"127.0.0.1:{port}", "-w", "2", "--threads", "4"]
    command += [
        "--worker-tmp-dir",
        str(directory),
        "--no-control-socket",
        "--keep-alive",
        "5",
        "exchange.wsgi:application",
    ]
    servers = Supervisor(logs=directory / "logs", say=lambda line: None)
    try:
        ready = supervisor.page_answers(f"http://127.0.0.1:{port}/healthz")
        servers.start(Process("web", command, ready, cwd=embedded.PROJECT))
        yield from _rates(port)
        yield from _weight(port)
        yield (
            "memory of a web process after all that, resident",
            f"{_largest_worker(servers):7.1f} MB  (target < 200 MB)",
        )
    finally:
        servers.stop()


def _rates(port: int) -> Iterator[tuple[str, str]]:
    pages = {
        "an address that does nothing (/healthz): the floor": "/healthz",
        "front page": "/",
        f"catalogue, first page of {PRODUCTS:,}": "/catalogue/",
        "catalogue, search for a frequent word, 统计": f"/catalogue/?q={quote('统计')}",
        "catalogue, search for a word of one product in 64, 石桥区 农业": f"/catalogue/?q={quote('石桥区 农业')}",
        "API: list of products": "/api/v1/products/",
        "API: search for 统计": f"/api/v1/products/?q={quote('统计')}",
    }
    floor = 0.0
    for what, path in pages.items():
        figure, durations = load(_asking(port, path), lanes=CONNECTIONS, span=SPAN)
        floor = floor or figure
        yield what, f"{figure:7.0f}/s   {percentiles(durations)}   1/{floor / figure:.0f} of the floor"


def _asking(port: int, path: str) -> Callable[[int, float], list[float]]:
    def lane(number: int, until: float) -> list[float]:
        connection, durations = http.client.HTTPConnection("127.0.0.1", port, timeout=30), []
        while (began := time.perf_counter()) < until:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise AssertionError(f"{path} answered {answer.status}")
            durations.append(time.perf_counter() - began)
        connection.close()
        return durations

    return lane


def _weight(port: int) -> Iterator[tuple[str, str]]:
    """The page and every style sheet, script and icon it names, as they travel and unpacked."""
    page, travelled, _ = _fetch(port, "/")
    named = dict.fromkeys(re.findall(r'(?:href|src)="(/static/[^"#]+)', page.decode()))
    parts = {path: _fetch(port, path) for path in named}
    total = travelled + sum(part[1] for part in parts.values())
    unpacked = len(page) + sum(len(part[0]) for part in parts.values())
    kept = sum("max-age=0" not in part[2] and "max-age" in part[2] for part in parts.values())
    yield "front page alone, as it travels", f"{travelled / 1024:7.1f} kB"
    yield (
        f"front page with its {len(parts)} files, as they travel",
        f"{total / 1024:7.1f} kB  {unpacked / 1024:.0f} kB unpacked; {kept} files kept by the browser",
    )


def _fetch(port: int, path: str) -> tuple[bytes, int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    unpacked = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
    return unpacked, len(body), answer.headers.get("Cache-Control", "")


def _largest_worker(servers: Supervisor) -> float:
    master = servers.processes[0].pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return max(int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024 for pid in children)


def _products() -> None:
    """Listed products with a specification and a search vector, written in bulk; numbers are invented."""
    from django.db import connection, transaction
    from django.utils import timezone

    from exchange.kernel import identifiers
    from listings import search
    from listings.models import Product, ProductVersion, Specification
    from tests.factories import listings as factory

    chosen, now = random.Random(7), timezone.now()
    abstract = "按区县与年龄段统计，用于信贷风险统计与公共服务评估。"
    people = [factory.provider(name_zh=city, name_en=f"Office {number}") for number, city in enumerate(CITIES)]
    products, authors = [], []
    for serial in range(1, PRODUCTS + 1):
        by = chosen.choice(people)
        name = by.organization.name_zh + chosen.choice(SUBJECTS) + chosen.choice(FORMS)
        number = identifiers.number("DP", exchange="HS", year_month="202611", serial=serial)
        vector = search.vector([(name, "A"), (abstract, "C")])
        fields = {"name_zh": name, "name_en": f"Statistics {serial}", "state": "listed", "listed_at": now}
        products.append(Product(number=number, provider=by.organization, search=vector, **fields))
        authors.append(by.user)
    with transaction.atomic(), connection.cursor() as cursor:
        Product.objects.bulk_create(products)
        versions = ProductVersion.objects.bulk_create(
            [
                ProductVersion(product=product, version=1, dataset="benchmark", grade=2, created_by=author)
                for product, author in zip(products, authors, strict=True)
            ]
        )
        Specification.objects.bulk_create(
            [
                Specification(version=version, abstract_zh=abstract, industry=chosen.choice(["J66", "S93", "G54"]))
                for version in versions
            ]
        )
        cursor.execute(
            "UPDATE listings_product SET current_id = version.id FROM listings_productversion version"
            " WHERE version.product_id = listings_product.id"
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
