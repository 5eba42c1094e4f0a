"""`hengshu result open`: check every part, open it with the own key, put the parts together on this machine."""

import argparse
import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import Any

from compute.protocol import documents, keyfiles, sealing
from exchange.client import result_tables, store
from exchange.client.context import Context, failed
from exchange.client.errors import ClientError
from exchange.kernel import identifiers
from ledger.proofs import policies, statements
from ledger.proofs.errors import VerificationError

SHOWN_LINES = 40  # of each table on the screen; the files hold all


def open_result(context: Context, args: argparse.Namespace) -> int:
    """Show the result and write it as CSV and JSON, readable by their owner only."""
    keys = context.keys()
    answer = context.api().get(f"computations/{args.ref}/result/")
    terms = context.signed_terms(identifiers.parse_urn(answer["job"]["contract"], kind="contract"))
    parts = check_parts(context, answer, terms=terms, keys=keys, ref=args.ref)
    result = _combine(parts, job=answer["job"], request=answer["request"])
    directory = Path(args.out or f"result-{args.ref}")
    tables = result_tables.of(result)
    files = {
        "result.json": (json.dumps(result, ensure_ascii=False, indent=2) + "\n").encode(),
        **{f"{table.name}.csv": table.to_csv() for table in tables},
    }
    for name, data in files.items():
        store.write_private(directory / name, data)
    lines = sum(len(table.rows) for table in tables)
    context.out.say(
        f"已核验 {len(parts)} 份并打开，共 {lines} 行，写入 {directory}/（仅本人可读）。",
        f"Checked and opened {len(parts)} parts, {lines} lines, written to {directory}/ (readable by you only).",
    )
    for table in tables:
        context.out.table(table.titles, table.rows[:SHOWN_LINES])
    context.out.document({"directory": str(directory), "files": sorted(files), "result": result})
    return 0


def check_parts(
    context: Context, answer: dict[str, Any], *, terms: dict[str, Any], keys: keyfiles.KeyFile, ref: str
) -> list[bytes]:
    """Check job, request and every report against keys of our own choosing; the opened parts by rank.

    The terms are trusted because our own signature is on them, the job because the pinned exchange key
    signed it, the reports because keys in the terms did.
    """
    job, request = answer["job"], answer["request"]
    try:
        documents.check_job(job)
        documents.check_request(request)
        statements.verify(terms, signers=[party["document_key"] for party in terms["parties"]])
        statements.verify(terms, signers=[keys.document_key])
        known = policies.exchange_keys(context.policy())
        statements.verify(job, signers=[did for did in _signers(job) if did in known][:1] or known)
        statements.verify(request, signers=[keys.document_key])
    except VerificationError as error:
        raise failed(error, what="The result's documents do not hold", zh="结果所附文书未通过核验") from error
    expected = documents.job_core(request=request, terms=terms)
    same = all(job[name] == value for name, value in expected.items())
    if not same or job["id"] != identifiers.make_urn("computation", ref):
        raise _differs("The job is not the one you asked for", "作业书与所提请求不符")
    if job["result"]["sealing_key"] != keys.sealing_key:
        raise _differs("The result was sealed to another key", "结果密封给了另一把密钥")
    digest = statements.digest(job)
    parts = {part["rank"]: part for part in answer["parts"]}
    if sorted(parts) != list(range(len(job["parties"]))) or len(parts) != len(answer["parts"]):
        raise _differs("Not every party's part is here", "各方分片不齐")
    return [_open(parts[party["rank"]], party, terms=terms, keys=keys, digest=digest) for party in job["parties"]]


def _open(
    part: dict[str, Any], party: dict[str, Any], *, terms: dict[str, Any], keys: keyfiles.KeyFile, digest: str
) -> bytes:
    report = part["report"]
    signer = next(item for item in terms["parties"] if item["organization"] == party["organization"])
    try:
        ciphertext = base64.b64decode(part["sealed_part"], validate=True)
        documents.check_execution_report(report)
        statements.verify(report, signers=[signer["document_key"]])
        named = report["part"] or {}
        agrees = (
            (report["outcome"], report["job_digest"], report["organization"], report["rank"])
            == ("completed", digest, party["organization"], party["rank"])
            and named.get("digest") == hashlib.sha256(ciphertext).hexdigest()
            and named.get("size_bytes") == len(ciphertext)
        )
        if not agrees:
            raise _differs("A part is not the one its node reported", "分片与节点报告不符")
        info = sealing.part_context(job_digest=digest, rank=party["rank"])
        return sealing.open_sealed(ciphertext, key=keys.sealing, info=info)
    except (VerificationError, binascii.Error) as error:
        code = getattr(error, "code", "ENCODING_INVALID")
        raise failed(
            VerificationError(code, str(error)), what=f"The part of rank {party['rank']} does not hold",
            zh=f"第 {party['rank']} 份分片未通过核验",
        ) from error  # fmt: skip


def _combine(parts: list[bytes], *, job: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    from compute.engines import registry

    found: dict[str, Any] = registry.get(job["engine"]).open(parts, job=job, request=request).describe()
    return found


def _differs(en: str, zh: str) -> ClientError:
    return ClientError(
        "RESULT_DIFFERS",
        f"{en}. Do not use it; keep the files and open a dispute.",
        zh=f"{zh}。请勿使用，保留文件并提出争议。",
    )


def _signers(document: dict[str, Any]) -> list[str]:
    return [statements.signer(proof) for proof in statements.proofs(document)]
