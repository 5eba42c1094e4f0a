"""A witness of logs: cosigns checkpoints that follow from what it saw before, and keeps what contradicts them.

    rules     the add-checkpoint state machine: bytes in, an answer out
    state     what this witness saw and cosigned, in SQLite
    witness   both together: one request, one transaction, one answer
    server    the same over HTTP
    client    how a log asks a witness
    views     do several views of one log contradict each other
    keys, config   a witness's own keys, and the logs it cosigns for

No Django: a stand-alone `hengshu witness`, every data node and the exchange use the same modules.

Source: C2SP tlog-witness, https://c2sp.org/tlog-witness, of July 2026.
"""
