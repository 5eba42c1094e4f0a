"""An endpoint that lies about prices costs a member no more than the cap."""

import pytest

from compute.protocol import keyfiles
from exchange.client.direct import MAX_GAS, MAX_GAS_PRICE_WEI, Endpoint
from ledger.proofs import rlp
from ledger.proofs.policies import Chain

ADDRESS = "0x" + "11" * 20


class Liar(Endpoint):
    """Answers every question as it likes, and keeps what it is sent."""

    def __init__(self, answers):
        super().__init__("http://127.0.0.1:9", chain=Chain(1, ADDRESS), sleep=lambda _: None)
        self.answers, self.sent = answers, []

    def _ask(self, method, parameters):
        if method == "eth_sendRawTransaction":
            self.sent.append(parameters[0])
        return self.answers[method]


@pytest.mark.parametrize(
    "prices",
    [{"eth_getBlockByNumber": {"baseFeePerGas": hex(10**24)}},
     {"eth_getBlockByNumber": {}, "eth_gasPrice": hex(10**24)}],
    ids=["base fee", "gas price"],
)  # fmt: skip
@pytest.mark.parametrize("gas", [50_000, 10**12])
def test_no_lie_about_prices_empties_an_account(prices, gas):
    keys = keyfiles.generate("member")
    landed = {"eth_getTransactionReceipt": {"blockNumber": "0x1", "status": "0x1"}, "eth_sendRawTransaction": "0x"}
    endpoint = Liar({"eth_estimateGas": hex(gas), "eth_getTransactionCount": "0x0", **prices, **landed})

    endpoint.send("revoke(bytes32)", bytes(32), key=keys.chain, sender=keys.chain_address)

    fields = rlp.decode_list(bytes.fromhex(endpoint.sent[0][2:]))
    assert rlp.integer(fields[1]) <= MAX_GAS_PRICE_WEI
    assert rlp.integer(fields[2]) <= max(MAX_GAS, 62_500)
