"""Links of SecretFlow's libraries over mutual TLS, one for each link stage of a run.

Measured ground for the choices below: TLS is checked only from `verify_depth` 1 on; pinning is a trust file
with exactly the peers' certificates; linking is retried after 1, 3 and 5 seconds, so a receive may wait 30;
three parties call `barrier` first; a survivor of a lost peer is aborted by the library, which is why the
mesh is watched besides.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import spu.libspu as libspu

from compute.engines.base import StageContext
from compute.engines.errors import LinkLost

_RECEIVE_SECONDS = 60

_open_links: list[Any] = []


def leave_as_lost(context: StageContext) -> Callable[[], None]:
    """What the mesh's watch does when a peer hangs up: end this process at once, with its code.

    The libraries would notice only after their own receive timeout, and then abort.
    """

    def leave() -> None:
        temporary = context.work_dir / "lost.tmp"
        temporary.write_text(json.dumps({"ok": False, "code": "PEER_LOST"}))
        temporary.replace(context.work_dir / "result.json")
        os._exit(0)

    return leave


def connect(context: StageContext, stage: int, *, ranks: Sequence[int], receive_seconds: int = _RECEIVE_SECONDS) -> Any:
    """A brpc link over mutual TLS between some ranks of the job, their certificates pinned.

    `receive_seconds` bounds how much longer than this party a peer may work before it sends.

    Raises:
        LinkLost: DEADLINE when no time is left; the library's own RuntimeError when a peer does not come.
    """
    description = libspu.link.Desc()
    description.id = f"{context.job_digest}/{stage}"
    left = context.deadline - time.monotonic()
    if left <= 0:
        raise LinkLost("The deadline passed before the parties could link; submit again.", code="DEADLINE")
    description.recv_timeout_ms = receive_seconds * 1000
    description.connect_retry_times = 30
    description.connect_retry_interval_ms = 200
    for rank in ranks:
        description.add_party(f"party{rank}", context.addresses[rank][stage])
    bundle = context.work_dir / f"peers{stage}.pem"
    bundle.write_text("".join(context.certificate_paths[rank].read_text() for rank in ranks if rank != context.rank))
    description.enable_ssl = True
    for options in (description.client_ssl_opts, description.server_ssl_opts):
        options.cert.certificate_path = str(context.certificate_paths[context.rank])
        options.cert.private_key_path = str(context.key_path)
        options.verify.verify_depth = 1  # 0, the default, verifies nothing
        options.verify.ca_file_path = str(bundle)
    connection = libspu.link.create_brpc(description, list(ranks).index(context.rank))
    connection.barrier()
    # Never stopped: a party that hangs up while a peer's last message is under way makes the library end the peer's
    # process. The process ends with the run, after everybody has said on the mesh that it is done.
    _open_links.append(connection)
    return connection
