// Judges a receipt bundle in the visitor's own browser: the twin of ledger/proofs/receipts.py, question by question.
// Nothing is sent anywhere. Every question is answered PASS, FAIL or NOT_CHECKED.
"use strict";

import {
  Failure, Open, canonical, checkSignatures, digest, hasExactly, hex, isObject, items, join, mapping, must, number, objects,
  parseCanonical, proofsOf, sha256, signerOf, text, typed, unhex, utf8,
} from "./verify-core.js";
import {
  checkInclusion, checkpointOf, cosigned, countsAt, exchangeKeys, exchangeKeysAt, isEnd, leafHash, leafOf, logKeys,
  logKeysAt, placeOf, readPolicy,
} from "./verify-log.js";
import { checkGrant, checkSeals, grantSlots, headerOf, readEvidence, rootSlot } from "./verify-chain.js";

export const TYPE = "hengshu/receipt-bundle/v1";
const MAX_BYTES = 4 * 1024 * 1024;
const REQUIRED_KINDS = ["computation.authorized", "result.accepted", "result.released", "settlement.charged"];
const MEMBERS = ["type", "number", "computation", "documents", "entries", "checkpoint", "anchor", "charge", "proof"];
const DOCUMENTS = ["contract", "request", "job", "consents", "reports"];
const ENTRY = ["leaf", "payload", "salt", "index", "path"];
const ANCHOR = ["chain_id", "contract_address", "size", "root", "block_number", "block_hash", "transaction"];

class Evidence {
  constructor(bundle, policy) {
    this.bundle = bundle; this.policy = policy; this.documents = bundle.documents;
    this.computation = text(bundle, "computation");
    this.checkpoints = new Map();
  }
  // --- documents and who signs them
  get contract() { return typed(this.documents.contract, "hengshu/contract/v1"); }
  get request() { return typed(this.documents.request, "hengshu/computation-request/v1"); }
  get job() { return typed(this.documents.job, "hengshu/job/v1"); }
  get consents() { return items(this.documents, "consents").map((one) => typed(one, "hengshu/consent/v1")); }
  get reports() { return items(this.documents, "reports").map((one) => typed(one, "hengshu/execution-report/v1")); }
  get charge() {
    const charge = mapping(this.bundle, "charge");
    must(hasExactly(charge, ["unit_price_fen", "units", "amount_fen", "currency"]), "CHARGE_INVALID");
    return charge;
  }
  get parties() {
    const found = new Map(objects(this.contract, "parties").map((party) => [text(party, "organization"), party]));
    must(found.size === this.contract.parties.length, "CONTRACT_INVALID");
    return found;
  }
  get providers() { return [...this.parties.values()].filter((party) => text(party, "role") === "provider"); }
  get buyer() {
    const buyers = [...this.parties.values()].filter((party) => text(party, "role") === "buyer");
    must(buyers.length === 1, "CONTRACT_INVALID");
    return buyers[0];
  }
  get jobParties() {
    const found = new Map(objects(this.job, "parties").map((party) => [text(party, "organization"), party]));
    must(found.size > 0 && found.size === this.job.parties.length && [...found.values()].every((party, rank) => number(party, "rank") === rank), "JOB_INVALID");
    must([...found.keys()].every((name) => this.parties.has(name)) && [undefined, "requester"].includes(found.get(this.buyer.organization)?.role), "JOB_INVALID");
    return found;
  }
  keyOfParty(document) {
    const party = this.parties.get(text(document, "organization"));
    must(party, "SIGNER_UNKNOWN");
    return text(party, "document_key");
  }
  async digests() {
    return {
      contract: text(this.contract, "id"), terms_digest: await digest(this.contract),
      request_digest: await digest(this.request), job_digest: await digest(this.job),
    };
  }
  async digestsOf(documents) { return (await Promise.all(documents.map(digest))).sort(); }
  async checkRepeats(document, ...names) {
    must(text(document, "computation") === this.computation, "DIGEST_MISMATCH");
    const digests = await this.digests();
    for (const name of names) { must(text(document, name) === digests[name], "DIGEST_MISMATCH"); }
  }
  /** Some key of the policy's exchange has signed, whichever of them. */
  async checkExchangeSigned(document) {
    const known = exchangeKeys(this.policy);
    const signer = proofsOf(document).map(signerOf).find((did) => known.includes(did));
    await checkSignatures(document, signer ? [signer] : known);
  }
  // --- the log
  get note() { return text(this.bundle, "checkpoint"); }
  get notes() { return [...new Set([this.note, ...this.entries.map((one) => one.note)])]; }
  get entries() {
    this.placed ??= objects(this.bundle, "entries").map((proof) => {
      must(hasExactly(proof, ENTRY, ["checkpoint"]), "ENTRY_INVALID");
      const note = Object.hasOwn(proof, "checkpoint") ? text(proof, "checkpoint") : this.note;
      return { leaf: leafOf(text(proof, "leaf")), proof, note };
    });
    return this.placed;
  }
  ofKind(kind) { return this.entries.filter(({ leaf }) => leaf.kind === kind).map((one) => ({ ...one, payload: mapping(one.proof, "payload") })); }
  async checkpoint(note = this.note) {
    if (!this.checkpoints.has(note)) { this.checkpoints.set(note, await checkpointOf(note, this.policy)); }
    return this.checkpoints.get(note);
  }
  // --- the chain
  get anchor() {
    if (this.bundle.anchor === null) { throw new Open("NO_ANCHOR"); }
    const anchor = mapping(this.bundle, "anchor");
    must(hasExactly(anchor, ANCHOR, ["evidence"]), "ANCHOR_INVALID");
    return anchor;
  }
  get chain() {
    if (this.anchor && this.policy.chain === null) { throw new Open("CHAIN_NOT_IN_POLICY"); }
    return this.policy.chain;
  }
  get chainEvidence() {
    if (this.chain && !Object.hasOwn(this.anchor, "evidence")) { throw new Open("NO_CHAIN_PROOF"); }
    return mapping(this.anchor, "evidence");
  }
  /** What the contract holds in the block of the evidence; who vouches for that block is another question. */
  get held() {
    if (!this.read) {
      const held = readEvidence(this.chainEvidence, this.chain), anchored = BigInt(number(this.anchor, "block_number"));
      const isSame = held.hash === text(this.anchor, "block_hash").toLowerCase();
      must(held.number > anchored || (held.number === anchored && isSame), "BLOCK_DIFFERS");
      this.read = held;
    }
    return this.read;
  }
  get demandsGrants() { const terms = this.contract.evidence; return isObject(terms) && terms.chain === "required"; }
}

const asOf = ({ number: block, hash }) => ({ code: "AS_OF_BLOCK", values: { block: String(block), hash } });

const ASK = {
  async contract(e) {
    const keys = [...e.parties.values()].map((party) => text(party, "document_key"));
    must(new Set(keys).size === keys.length && e.providers.length > 0, "CONTRACT_INVALID");
    must(text(e.buyer, "organization") === text(mapping(e.contract, "output"), "receiver"), "CONTRACT_INVALID");
    const exchange = mapping(e.contract, "exchange");
    must(exchangeKeys(e.policy).includes(text(exchange, "document_key")), "EXCHANGE_UNKNOWN");
    must(logKeys(e.policy, text(exchange, "log_origin")).includes(text(exchange, "log_key")), "EXCHANGE_UNKNOWN");
    await checkSignatures(e.contract, keys);
  },
  async request(e) {
    const digests = await e.digests();
    must(text(e.request, "id") === e.computation, "DIGEST_MISMATCH");
    for (const name of ["contract", "terms_digest"]) { must(text(e.request, name) === digests[name], "DIGEST_MISMATCH"); }
    must(items(mapping(e.contract, "computation"), "operations").includes(text(e.request, "operation")), "REQUEST_INVALID");
    await checkSignatures(e.request, [text(e.buyer, "document_key")]);
  },
  async job(e) {
    const digests = await e.digests(), operation = text(e.job, "operation");
    must(text(e.job, "id") === e.computation, "DIGEST_MISMATCH");
    for (const name of ["contract", "terms_digest", "request_digest"]) { must(text(e.job, name) === digests[name], "DIGEST_MISMATCH"); }
    const engines = mapping(mapping(e.contract, "computation"), "engines");
    must(operation === text(e.request, "operation") && text(e.job, "engine") === (Object.hasOwn(engines, operation) ? engines[operation] : null), "JOB_INVALID");
    const result = mapping(e.job, "result");
    must(text(result, "organization") === e.buyer.organization && text(result, "sealing_key") === text(e.buyer, "sealing_key"), "RESULT_KEY_MISMATCH");
    const products = objects(e.contract, "objects").map((one) => [text(one, "provider"), text(one, "dataset"), one]);
    for (const [organization, party] of e.jobParties) {
      if (text(party, "role") === "requester") {
        const own = mapping(mapping(e.request, "parameters"), "input");
        must(organization === e.buyer.organization, "JOB_INVALID");
        must(text(party, "dataset") === text(own, "dataset") && text(party, "dataset_commitment") === text(own, "commitment"), "DATASET_MISMATCH");
      }
      if (text(party, "role") !== "data") { continue; }
      const product = products.findLast(([provider, dataset]) => provider === organization && dataset === text(party, "dataset"));
      must(product && text(product[2], "dataset_commitment") === text(party, "dataset_commitment"), "DATASET_MISMATCH");
    }
    await e.checkExchangeSigned(e.job);
  },
  async consents(e) {
    const given = new Set();
    for (const consent of e.consents) {
      await e.checkRepeats(consent, "contract", "terms_digest", "request_digest");
      must(text(consent, "decision") === "granted", "CONSENT_REFUSED");
      await checkSignatures(consent, [e.keyOfParty(consent)]);
      given.add(consent.organization);
    }
    must(given.size === e.consents.length && [...e.jobParties.keys()].every((name) => given.has(name)), "CONSENT_MISSING");
  },
  async reports(e) {
    const unit = text(mapping(e.contract, "metering"), "unit");
    const reporting = new Set();
    for (const report of e.reports) {
      await e.checkRepeats(report, "contract", "terms_digest", "request_digest", "job_digest");
      await checkSignatures(report, [e.keyOfParty(report)]);
      const party = e.jobParties.get(text(report, "organization"));
      must(party && number(report, "rank") === party.rank && text(report, "outcome") === "completed", "REPORT_INVALID");
      must(text(report, "unit") === unit && number(report, "units") === number(e.charge, "units"), "UNITS_DIFFER");
      const found = objects(report, "datasets").map((one) => [text(one, "dataset"), text(one, "commitment")]);
      must(canonical(found) === canonical(party.dataset ? [[party.dataset, party.dataset_commitment ?? null]] : []), "DATASET_MISMATCH");
      reporting.add(report.organization);
    }
    must(reporting.size === e.reports.length && reporting.size === e.jobParties.size, "REPORT_MISSING");
    const digests = canonical(await e.digestsOf(e.reports));
    for (const { payload } of e.ofKind("result.accepted")) {
      must(canonical([...items(payload, "reports")].sort()) === digests, "REPORT_MISMATCH");
    }
  },
  async checkpoint(e) {
    for (const note of e.notes) {
      const { origin, size, root } = await e.checkpoint(note);
      must(size > 0n, "CHECKPOINT_INVALID");
      const end = e.policy.logs.find((log) => log.origin === origin).frozen;
      must(!end || size < BigInt(end.size) || (size === BigInt(end.size) && hex(root) === end.root), "LOG_FROZEN");
    }
  },
  async inclusion(e) {
    for (const { proof, note } of e.entries) {
      const { size, root } = await e.checkpoint(note);
      const path = items(proof, "path").map((step) => unhex(step, "INCLUSION_INVALID"));
      await checkInclusion(BigInt(number(proof, "index")), size, await leafHash(utf8.encode(proof.leaf)), path, root);
    }
  },
  async commitments(e) {
    for (const { leaf, proof } of e.entries) {
      const salt = unhex(text(proof, "salt"), "COMMITMENT_INVALID");
      must(salt.length >= 16 && salt.length <= 32, "COMMITMENT_INVALID");
      must(hex(await sha256(join(salt, utf8.encode(canonical(mapping(proof, "payload")))))) === leaf.commit, "COMMITMENT_INVALID");
    }
  },
  async entry_kinds(e) {
    for (const kind of REQUIRED_KINDS) {
      const found = e.ofKind(kind);
      must(found.length > 0, "ENTRY_MISSING");
      must(found.every(({ leaf, payload }) => [leaf.subject, payload.computation].includes(e.computation)), "ENTRY_INVALID");
    }
    const { job_digest: job } = await e.digests();
    for (const kind of ["result.accepted", "result.released"]) {
      must(e.ofKind(kind).every(({ payload }) => payload.job_digest === job), "ENTRY_INVALID");
    }
    const names = e.entries.map(({ leaf }) => leaf.id);
    must(new Set(names).size === names.length, "ENTRY_INVALID");
  },
  async authorization(e) {
    const found = e.ofKind("computation.authorized");
    must(found.length === 1, "AUTHORIZATION_INVALID");
    const { leaf, payload } = found[0];
    must(payload.type === "hengshu/authorization/v1" && leaf.subject === e.computation, "AUTHORIZATION_INVALID");
    await e.checkRepeats(payload, "contract", "terms_digest", "request_digest", "job_digest");
    must(canonical(items(payload, "consents")) === canonical(await e.digestsOf(e.consents)), "AUTHORIZATION_INVALID");
  },
  async charge(e) {
    const { charge } = e, price = mapping(e.contract, "price");
    must(charge.unit_price_fen === number(price, "unit_price_fen") && charge.currency === text(price, "currency"), "CHARGE_INVALID");
    must(number(charge, "amount_fen") === number(charge, "unit_price_fen") * number(charge, "units"), "CHARGE_INVALID");
    const logged = e.ofKind("settlement.charged");
    must(logged.length === 1 && logged[0].payload.amount_fen === charge.amount_fen, "CHARGE_INVALID");
    must(logged[0].payload.units === charge.units, "CHARGE_INVALID");
    must(canonical(logged[0].payload.reports ?? null) === canonical(await e.digestsOf(e.reports)), "CHARGE_INVALID");
  },
  async cosignatures(e) {
    if (e.policy.witnesses.quorum === 0) { throw new Open("NO_QUORUM"); }
    const names = new Set();
    for (const note of e.notes) { for (const key of await cosigned(note, e.policy)) { names.add(key); } }
    return { code: "COSIGNED", values: { count: String(names.size) } };
  },
  async anchor(e) {
    const { anchor } = e, { chain } = e.policy;
    must(chain === null || (number(anchor, "chain_id") === chain.chain_id && text(anchor, "contract_address").toLowerCase() === chain.contract_address.toLowerCase()), "ANCHOR_INVALID");
    const { size, root } = await e.checkpoint();
    if (BigInt(number(anchor, "size")) !== size) { throw new Open("OTHER_SIZE"); }
    must(text(anchor, "root").replace(/^0x/, "") === hex(root), "ANCHOR_INVALID");
  },
  async chain(e) {
    const { held } = e;
    for (const note of e.notes) {
      const { origin, size, root } = await e.checkpoint(note);
      const stored = held.values.get(rootSlot(e.policy.logs.findIndex((log) => log.origin === origin) + 1, size));
      if (stored === undefined) { throw new Open("NO_CHAIN_PROOF"); }
      must(stored !== 0n, "CHAIN_ROOT_ABSENT");
      must(stored === BigInt(`0x${hex(root)}`), "CHAIN_ROOT_DIFFERS");
    }
    return asOf(held);
  },
  async header(e) {
    const evidence = e.chainEvidence, header = headerOf(evidence), block = String(header.number);
    if (e.chain.validators.length) {
      checkSeals(header, e.chain.validators);
      return { code: "SEALED", values: { block } };
    }
    throw e.chain.development ? new Open("DEVELOPMENT_CHAIN") : new Open("HEADER_NOT_VOUCHED", { block });
  },
  async grants(e) {
    if (!e.demandsGrants) { throw new Open("GRANTS_NOT_DEMANDED"); }
    const { held } = e, { terms_digest: terms } = await e.digests();
    for (const party of e.providers) {
      const signer = text(party, "chain_address");
      if (!grantSlots(signer, terms).every((slot) => held.values.has(slot))) { throw new Open("NO_GRANT_PROOF"); }
      checkGrant(held, signer, terms);
    }
    return asOf(held);
  },
  async keys(e) {
    const { policy } = e, signers = (documents) => documents.flatMap((document) => proofsOf(document).map(signerOf));
    const place = async (kind) => {
      const found = e.entries.find(({ leaf }) => leaf.kind === kind);
      must(found, "ENTRY_MISSING");
      return placeOf(policy, (await e.checkpoint(found.note)).origin, BigInt(number(found.proof, "index")));
    };
    const check = (keys, at) => must(keys.every((key) => countsAt(policy, key, at)), "KEY_REVOKED");
    const authorized = await place("computation.authorized"), acceptedAt = await place("result.accepted");
    check([...signers([e.contract, e.request, e.job, ...e.consents]), text(e.buyer, "sealing_key")], authorized);
    if (e.demandsGrants) { check(e.providers.map((party) => text(party, "chain_address")), authorized); }
    check(signers(e.reports), acceptedAt);
    for (const note of e.notes) {
      const { origin, size, root, signers: signed } = await e.checkpoint(note), last = placeOf(policy, origin, size - 1n);
      const signing = logKeysAt(policy, origin, size).filter((key) => signed.has(key));
      must(signing.length > 0, "KEY_NOT_IN_FORCE");
      must(isEnd(policy, origin, size, hex(root)) || signing.some((key) => countsAt(policy, key, last)), "KEY_REVOKED");
    }
    must(signers([e.job]).some((key) => exchangeKeysAt(policy, authorized).includes(key)), "KEY_NOT_IN_FORCE");
    const { origin, size } = await e.checkpoint(), made = placeOf(policy, origin, size - 1n), own = signers([e.bundle]);
    check(own, made);
    must(!policy.exchange_keys.some((one) => own.includes(one.key) && one.until !== null && BigInt(one.until) <= made), "KEY_NOT_IN_FORCE");
  },
};
/** The questions in the order of the page. */
export const QUESTIONS = [
  "bundle", "contract", "request", "job", "consents", "reports", "checkpoint", "inclusion", "commitments", "entry_kinds",
  "authorization", "charge", "cosignatures", "anchor", "chain", "header", "grants", "keys",
];

const isSealed = (policy) => Boolean(policy.chain?.validators.length);
/** What the policy demands beyond the log itself: its quorum, and where it names validators, the chain. */
const demanded = (name, policy, evidence) => {
  if (name === "cosignatures") { return policy.witnesses.quorum > 0; }
  if (["anchor", "chain", "header"].includes(name)) { return isSealed(policy); }
  if (name !== "grants") { return true; }
  if (!evidence || !isSealed(policy)) { return false; }
  try { return evidence.demandsGrants; } catch { return true; }
};

const open = async (bytes, policy) => {
  const value = parseCanonical(bytes, MAX_BYTES);
  typed(value, TYPE);
  must(hasExactly(value, MEMBERS) && isObject(value.documents) && hasExactly(value.documents, DOCUMENTS), "BUNDLE_INVALID");
  const evidence = new Evidence(value, policy);
  await evidence.checkExchangeSigned(value);
  must(value.proof.length === 1, "BUNDLE_INVALID");
  return evidence;
};

const answer = async (name, required, question) => {
  try { return { name, required, status: "PASS", code: "", values: {}, ...await question() }; }
  catch (error) {
    if (error instanceof Open) { return { name, required, status: "NOT_CHECKED", code: error.code, values: error.values }; }
    return { name, required, status: "FAIL", code: error instanceof Failure ? error.code : "MEMBER_INVALID", values: {} };
  }
};

/**
 * Judge the bytes of a receipt bundle under a trust policy of version 1 or 2; throws for a policy that is none.
 * @returns {Promise<{checks: {name: string, required: boolean, status: string, code: string, values: object}[], bundle: object|null, policy: object}>}
 */
export async function verify(bytes, given) {
  const policy = await readPolicy(given);
  let evidence = null;
  const first = await answer("bundle", true, async () => { evidence = await open(bytes, policy); });
  if (first.status === "NOT_CHECKED") { // the browser cannot check Ed25519: show what hashes alone can tell
    try { evidence = new Evidence(parseCanonical(bytes, MAX_BYTES), policy); } catch { evidence = null; }
  }
  const checks = [first];
  for (const name of QUESTIONS.slice(1)) {
    const required = demanded(name, policy, evidence);
    checks.push(evidence
      ? await answer(name, required, () => ASK[name](evidence))
      : { name, required, status: "NOT_CHECKED", code: "NOT_WHOLE", values: {} });
  }
  return { bundle: evidence?.bundle ?? null, checks, policy };
}

/** Whether nothing failed and every required question was answered with PASS. */
export const accepted = (checks) => checks.every((check) => check.status === "PASS" || (check.status === "NOT_CHECKED" && !check.required));
export { hex, sha256 };
