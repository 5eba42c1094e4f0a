"""Faults, injected on purpose into real parts and judged from outside: `make faults FAULTS=ledger`.

Every case has a PostgreSQL database and an anvil chain of its own, both thrown away. What varies (sizes, moments,
which byte, which worker) is drawn from the seed. A case ends HEALED, DETECTED (by whom) or BROKEN; what does the
judging reads the chain by plain JSON-RPC, hashes leaves by itself, and asks the exchange's own code only for audits.

Nothing here needs a name or a hook in production code: moments are found by wrapping functions in a forked worker.
"""
