"""The offline verifier by the hundred, in a process of its own that has no Django, no database and no network.

Each bundle carries all the evidence there can be: cosignatures of three witnesses, and root and grants proven
in a block sealed by four validators. The policy demands all of it.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

from ledger.proofs import canonical
from tests.factories.receipts import Purchase

ROOT = Path(__file__).parents[3]
GENUINE, FLIPPED = 100, 500
PROGRAM = """
import json, os, random, sys
for name in ("django", "rest_framework", "celery", "web3", "requests", "psycopg", "numpy", "redis"):
    sys.modules[name] = None
import socket
def no_network(*args, **kwargs):
    raise AssertionError("verify opened a socket")
socket.socket.__init__ = socket.create_connection = socket.getaddrinfo = no_network
from exchange.client import cli
from ledger.proofs import receipts

here, count, flips, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
bundles = [open(os.path.join(here, f"{n}.json"), "rb").read() for n in range(count)]
policies = [open(os.path.join(here, f"{n}.policy.json"), "rb").read() for n in range(count)]

def judge(data, policy):
    return receipts.accepted(receipts.verify(data, policy=policy))

genuine, flipped = sum(map(judge, bundles, policies)), 0
rng = random.Random(seed)
for number in range(flips):
    changed = bytearray(bundles[number % count])
    place = rng.randrange(len(changed))
    changed[place] ^= 1 << rng.randrange(8)
    flipped += judge(bytes(changed), policies[number % count])

path = os.path.join(here, "0.json")
words = ["--home", os.path.join(here, "nobody"), "--json", "verify", path]
words += ["--policy", os.path.join(here, "0.policy.json")]
print(json.dumps({"genuine": genuine, "flipped": flipped}), file=sys.stderr)
sys.exit(cli.main(words))
"""


def test_a_hundred_genuine_receipts_pass_and_five_hundred_flipped_ones_fail(tmp_path):
    keys = Purchase(witnesses=3, quorum=2, chain="sealed").keys
    for number in range(GENUINE):
        # The same parties, another purchase each time: the log is of another size, so every path and root differ.
        purchase = Purchase(keys=keys, witnesses=3, quorum=2, chain="sealed", other_leaves=3 + 7 * number)
        (tmp_path / f"{number}.json").write_bytes(purchase.bundle())
        (tmp_path / f"{number}.policy.json").write_bytes(canonical.encode(purchase.policy.document()))
    seed = random.randrange(2**32)

    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(GENUINE), str(FLIPPED), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stderr)
    assert (found["genuine"], found["flipped"]) == (GENUINE, 0), f"seed {seed}"
    assert json.loads(done.stdout)["accepted"] is True
