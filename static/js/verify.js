// Judges a receipt bundle in the visitor's own browser, with WebCrypto alone: the twin of ledger/proofs/receipts.py.
// Nothing is sent anywhere. Every question is answered PASS, FAIL or NOT_CHECKED.
"use strict";

export const TYPE = "hengshu/receipt-bundle/v1";
export const QUESTIONS = [
  "bundle", "contract", "request", "job", "consents", "reports", "checkpoint", "inclusion", "commitments",
  "entry_kinds", "authorization", "charge", "anchor", "chain",
];
const OPTIONAL = new Set(["anchor", "chain"]);
const REQUIRED_KINDS = ["computation.authorized", "result.accepted", "result.released", "settlement.charged"];
const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const utf8 = new TextEncoder();

class Failure extends Error {
  constructor(code) { super(code); this.code = code; }
}
class NotPossible extends Error {}
const fail = (code) => { throw new Failure(code); };
const must = (condition, code) => { if (!condition) { fail(code); } };

// --- bytes ------------------------------------------------------------------------------------------------
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text, code) => {
  must(typeof text === "string" && /^([0-9a-f]{2})*$/.test(text), code);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
};
const join = (...parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) { whole.set(part, place); place += part.length; }
  return whole;
};
const same = (a, b) => a.length === b.length && a.every((byte, index) => byte === b[index]);
const unbase64 = (text, code) => {
  let raw;
  try { raw = atob(text); } catch { fail(code); }
  must(btoa(raw) === text, code);
  return Uint8Array.from(raw, (character) => character.charCodeAt(0));
};
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

// --- canonical JSON (RFC 8785; integers only) ----------------------------------------------------------------
const canonical = (value) => {
  if (value === null || typeof value === "boolean") { return String(value); }
  if (typeof value === "number") { must(Number.isSafeInteger(value), "NOT_CANONICAL"); return String(value); }
  if (typeof value === "string") { must(value.isWellFormed?.() ?? true, "NOT_CANONICAL"); return JSON.stringify(value); }
  if (Array.isArray(value)) { return `[${value.map(canonical).join(",")}]`; }
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
};
const parseCanonical = (bytes) => {
  let text, value;
  try { text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); value = JSON.parse(text); }
  catch { fail("JSON_INVALID"); }
  must(canonical(value) === text, "NOT_CANONICAL");
  return value;
};
const unsigned = (document) => { const { proof: _, ...rest } = document; return rest; };
const digest = async (document) => hex(await sha256(utf8.encode(canonical(unsigned(document)))));

// --- members, read with care ---------------------------------------------------------------------------------
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const text = (document, name) => { must(typeof document[name] === "string", "MEMBER_INVALID"); return document[name]; };
const number = (document, name) => {
  must(Number.isSafeInteger(document[name]) && document[name] >= 0, "MEMBER_INVALID"); return document[name];
};
const mapping = (document, name) => { must(isObject(document[name]), "MEMBER_INVALID"); return document[name]; };
const items = (document, name) => { must(Array.isArray(document[name]), "MEMBER_INVALID"); return document[name]; };
const objects = (document, name) => { const found = items(document, name); must(found.every(isObject), "MEMBER_INVALID"); return found; };
const typed = (document, kind) => { must(isObject(document) && document.type === kind, "TYPE_UNKNOWN"); return document; };
const hasExactly = (document, names) => canonical(Object.keys(document).sort()) === canonical([...names].sort());

// --- keys and signatures ---------------------------------------------------------------------------------------
const unbase58 = (value) => {
  must(typeof value === "string" && value.startsWith("z"), "ENCODING_INVALID");
  let whole = 0n;
  for (const character of value.slice(1)) {
    const place = BASE58.indexOf(character);
    must(place >= 0, "ENCODING_INVALID");
    whole = whole * 58n + BigInt(place);
  }
  const bytes = [];
  for (; whole > 0n; whole >>= 8n) { bytes.unshift(Number(whole & 255n)); }
  const zeros = value.slice(1).match(/^1*/)[0].length;
  return Uint8Array.from([...new Array(zeros).fill(0), ...bytes]);
};
const keyOf = (did) => {
  must(typeof did === "string" && did.startsWith("did:key:"), "KEY_INVALID");
  const raw = unbase58(did.slice(8));
  must(raw.length === 34 && raw[0] === 0xed && raw[1] === 0x01, "KEY_INVALID");
  return raw.slice(2);
};
const verifyEd25519 = async (key, signature, message) => {
  let imported;
  try { imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]); }
  catch (error) { if (error.name === "NotSupportedError") { throw new NotPossible("ED25519_UNSUPPORTED"); } fail("KEY_INVALID"); }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
};
const checkSignatures = async (document, signers) => {
  const found = new Set();
  const proofs = document.proof ?? [];
  must(Array.isArray(proofs), "PROOF_INVALID");
  const body = await sha256(utf8.encode(canonical(unsigned(document))));
  for (const proof of proofs) {
    must(isObject(proof) && hasExactly(proof, ["type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue"]), "PROOF_INVALID");
    must(proof.type === "DataIntegrityProof" && proof.cryptosuite === "eddsa-jcs-2022" && proof.proofPurpose === "assertionMethod" && TIME.test(proof.created), "PROOF_INVALID");
    const [did, fragment] = String(proof.verificationMethod).split("#");
    must(did.replace("did:key:", "") === fragment && !found.has(did), "PROOF_INVALID");
    const { proofValue, ...options } = proof;
    const message = join(await sha256(utf8.encode(canonical(options))), body);
    must(await verifyEd25519(keyOf(did), unbase58(proofValue), message), "SIGNATURE_INVALID");
    found.add(did);
  }
  must(signers.length > 0 && signers.every((signer) => found.has(signer)), "SIGNATURE_MISSING");
};

// --- the log: leaves, checkpoint, Merkle paths (RFC 6962, C2SP) --------------------------------------------------
const leafOf = (value) => {
  must(typeof value === "string", "LEAF_INVALID");
  const leaf = parseCanonical(utf8.encode(value));
  must(isObject(leaf) && hasExactly(leaf, ["v", "kind", "id", "subject", "issuer", "prev", "at", "commit"]) && leaf.v === 1, "LEAF_INVALID");
  return leaf;
};
const leafHash = (data) => sha256(join(Uint8Array.of(0), data));
const nodeHash = (left, right) => sha256(join(Uint8Array.of(1), left, right));
const checkInclusion = async (index, size, hash, path, root) => {
  must(index < size, "INCLUSION_INVALID");
  let position = BigInt(index), last = BigInt(size) - 1n, hashed = hash;
  for (const sibling of path) {
    must(last !== 0n && sibling.length === 32, "INCLUSION_INVALID");
    if (position & 1n || position === last) {
      hashed = await nodeHash(sibling, hashed);
      while (!(position & 1n) && position) { position >>= 1n; last >>= 1n; }
    } else { hashed = await nodeHash(hashed, sibling); }
    position >>= 1n; last >>= 1n;
  }
  must(last === 0n && same(hashed, root), "INCLUSION_INVALID");
};
const checkpointOf = async (note, policy) => {
  must(typeof note === "string", "NOTE_INVALID");
  const end = note.lastIndexOf("\n\n");
  must(end > 0 && note.endsWith("\n"), "NOTE_INVALID");
  const body = `${note.slice(0, end)}\n`;
  const [name, id, ...rest] = text(policy, "log_key").split("+"); // base64 may hold a plus sign itself
  const encoded = rest.join("+");
  const typedKey = unbase64(encoded, "KEY_INVALID");
  must(typedKey.length === 33 && typedKey[0] === 1, "KEY_INVALID");
  const keyId = (await sha256(join(utf8.encode(`${name}\n`), typedKey))).slice(0, 4);
  must(hex(keyId) === id && name === policy.log_origin, "KEY_INVALID");
  let isSigned = false;
  for (const line of note.slice(end + 2, -1).split("\n")) {
    const parts = line.split(" ");
    must(parts.length === 3 && parts[0] === "—", "NOTE_INVALID");
    const raw = unbase64(parts[2], "NOTE_INVALID");
    if (parts[1] !== name || !same(raw.slice(0, 4), keyId)) { continue; }
    must(await verifyEd25519(typedKey.slice(1), raw.slice(4), utf8.encode(body)), "SIGNATURE_INVALID");
    isSigned = true;
  }
  must(isSigned, "SIGNATURE_MISSING");
  const [origin, size, root] = body.split("\n");
  must(origin === policy.log_origin, "ORIGIN_UNKNOWN");
  must(/^[1-9]\d{0,15}$/.test(size), "CHECKPOINT_INVALID");
  const rootBytes = unbase64(root, "CHECKPOINT_INVALID");
  must(rootBytes.length === 32, "CHECKPOINT_INVALID");
  return { size: Number(size), root: rootBytes };
};

// --- the questions ------------------------------------------------------------------------------------------------
class Evidence {
  constructor(bundle, policy) { this.bundle = bundle; this.policy = policy; this.documents = bundle.documents; }
  get computation() { return text(this.bundle, "computation"); }
  get contract() { return typed(this.documents.contract, "hengshu/contract/v1"); }
  get request() { return typed(this.documents.request, "hengshu/computation-request/v1"); }
  get job() { return typed(this.documents.job, "hengshu/job/v1"); }
  get consents() { return items(this.documents, "consents").map((one) => typed(one, "hengshu/consent/v1")); }
  get reports() { return items(this.documents, "reports").map((one) => typed(one, "hengshu/execution-report/v1")); }
  get parties() {
    const found = new Map(objects(this.contract, "parties").map((party) => [text(party, "organization"), party]));
    must(found.size === this.contract.parties.length, "CONTRACT_INVALID");
    return found;
  }
  get buyer() {
    const buyers = [...this.parties.values()].filter((party) => party.role === "buyer");
    must(buyers.length === 1, "CONTRACT_INVALID");
    return buyers[0];
  }
  get jobParties() {
    const found = new Map(objects(this.job, "parties").map((party) => [text(party, "organization"), party]));
    must(found.size > 0 && found.size === this.job.parties.length && [...found.values()].every((party, rank) => party.rank === rank), "JOB_INVALID");
    must([...found.keys()].every((name) => this.parties.has(name)) && !found.has(this.buyer.organization), "JOB_INVALID");
    return found;
  }
  async digests() {
    return {
      contract: text(this.contract, "id"), terms_digest: await digest(this.contract),
      request_digest: await digest(this.request), job_digest: await digest(this.job),
    };
  }
  async reportDigests() {
    const found = [];
    for (const report of this.reports) { found.push(await digest(report)); }
    return found.sort();
  }
  async checkRepeats(document, ...names) {
    must(text(document, "computation") === this.computation, "DIGEST_MISMATCH");
    const digests = await this.digests();
    for (const name of names) { must(text(document, name) === digests[name], "DIGEST_MISMATCH"); }
  }
  entries() {
    return objects(this.bundle, "entries").map((proof) => {
      must(hasExactly(proof, ["leaf", "payload", "salt", "index", "path"]), "ENTRY_INVALID");
      return [leafOf(proof.leaf), proof];
    });
  }
  payloads(kind) { return this.entries().filter(([leaf]) => leaf.kind === kind).map(([leaf, proof]) => [leaf, mapping(proof, "payload")]); }
  keyOfParty(document) {
    const party = this.parties.get(text(document, "organization"));
    must(party, "SIGNER_UNKNOWN");
    return text(party, "document_key");
  }
}

const ASK = {
  async contract(e) {
    const keys = [...e.parties.values()].map((party) => text(party, "document_key"));
    must(new Set(keys).size === keys.length && [...e.parties.values()].some((party) => party.role === "provider"), "CONTRACT_INVALID");
    must(e.buyer.organization === text(mapping(e.contract, "output"), "receiver"), "CONTRACT_INVALID");
    const exchange = mapping(e.contract, "exchange");
    must(exchange.document_key === e.policy.exchange_document_key && exchange.log_origin === e.policy.log_origin && exchange.log_key === e.policy.log_key, "EXCHANGE_UNKNOWN");
    await checkSignatures(e.contract, keys);
  },
  async request(e) {
    const digests = await e.digests();
    must(text(e.request, "id") === e.computation && e.request.contract === digests.contract && e.request.terms_digest === digests.terms_digest, "DIGEST_MISMATCH");
    must(items(mapping(e.contract, "computation"), "operations").includes(text(e.request, "operation")), "REQUEST_INVALID");
    await checkSignatures(e.request, [text(e.buyer, "document_key")]);
  },
  async job(e) {
    const digests = await e.digests();
    must(text(e.job, "id") === e.computation, "DIGEST_MISMATCH");
    for (const name of ["contract", "terms_digest", "request_digest"]) { must(e.job[name] === digests[name], "DIGEST_MISMATCH"); }
    must(e.job.operation === e.request.operation && e.job.engine === mapping(mapping(e.contract, "computation"), "engines")[e.job.operation], "JOB_INVALID");
    const result = mapping(e.job, "result");
    must(result.organization === e.buyer.organization && text(result, "sealing_key") === text(e.buyer, "sealing_key"), "RESULT_KEY_MISMATCH");
    for (const [organization, party] of e.jobParties) {
      if (party.role !== "data") { continue; }
      const product = objects(e.contract, "objects").find((one) => one.provider === organization && one.dataset === party.dataset);
      must(product && product.dataset_commitment === party.dataset_commitment, "DATASET_MISMATCH");
    }
    await checkSignatures(e.job, [e.policy.exchange_document_key]);
  },
  async consents(e) {
    const given = new Set();
    for (const consent of e.consents) {
      await e.checkRepeats(consent, "contract", "terms_digest", "request_digest");
      must(consent.decision === "granted", "CONSENT_REFUSED");
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
      must(party && number(report, "rank") === party.rank && report.outcome === "completed", "REPORT_INVALID");
      must(report.unit === unit && number(report, "units") === number(mapping(e.bundle, "charge"), "units"), "UNITS_DIFFER");
      const found = objects(report, "datasets").map((one) => [text(one, "dataset"), text(one, "commitment")]);
      must(canonical(found) === canonical(party.dataset ? [[party.dataset, party.dataset_commitment]] : []), "DATASET_MISMATCH");
      reporting.add(report.organization);
    }
    must(reporting.size === e.reports.length && reporting.size === e.jobParties.size, "REPORT_MISSING");
    const digests = canonical(await e.reportDigests());
    for (const [, payload] of e.payloads("result.accepted")) {
      must(canonical([...items(payload, "reports")].sort()) === digests, "REPORT_MISMATCH");
    }
  },
  async checkpoint(e) { await checkpointOf(e.bundle.checkpoint, e.policy); },
  async inclusion(e) {
    const checkpoint = await checkpointOf(e.bundle.checkpoint, e.policy);
    for (const [, proof] of e.entries()) {
      const path = items(proof, "path").map((step) => unhex(step, "INCLUSION_INVALID"));
      await checkInclusion(number(proof, "index"), checkpoint.size, await leafHash(utf8.encode(proof.leaf)), path, checkpoint.root);
    }
  },
  async commitments(e) {
    for (const [leaf, proof] of e.entries()) {
      const salt = unhex(text(proof, "salt"), "COMMITMENT_INVALID");
      must(salt.length >= 16 && salt.length <= 32, "COMMITMENT_INVALID");
      must(hex(await sha256(join(salt, utf8.encode(canonical(mapping(proof, "payload")))))) === leaf.commit, "COMMITMENT_INVALID");
    }
  },
  async entry_kinds(e) {
    for (const kind of REQUIRED_KINDS) {
      const found = e.payloads(kind);
      must(found.length > 0, "ENTRY_MISSING");
      must(found.every(([leaf, payload]) => [leaf.subject, payload.computation].includes(e.computation)), "ENTRY_INVALID");
    }
    const { job_digest: job } = await e.digests();
    for (const kind of ["result.accepted", "result.released"]) {
      must(e.payloads(kind).every(([, payload]) => payload.job_digest === job), "ENTRY_INVALID");
    }
    const names = e.entries().map(([leaf]) => leaf.id);
    must(new Set(names).size === names.length, "ENTRY_INVALID");
  },
  async authorization(e) {
    const found = e.payloads("computation.authorized");
    must(found.length === 1, "AUTHORIZATION_INVALID");
    const [leaf, payload] = found[0];
    must(payload.type === "hengshu/authorization/v1" && leaf.subject === e.computation, "AUTHORIZATION_INVALID");
    await e.checkRepeats(payload, "contract", "terms_digest", "request_digest", "job_digest");
    const consents = (await Promise.all(e.consents.map(digest))).sort();
    must(canonical(items(payload, "consents")) === canonical(consents), "AUTHORIZATION_INVALID");
  },
  async charge(e) {
    const charge = mapping(e.bundle, "charge"), price = mapping(e.contract, "price");
    must(hasExactly(charge, ["unit_price_fen", "units", "amount_fen", "currency"]), "CHARGE_INVALID");
    must(charge.unit_price_fen === number(price, "unit_price_fen") && charge.currency === price.currency, "CHARGE_INVALID");
    must(number(charge, "amount_fen") === number(charge, "unit_price_fen") * number(charge, "units"), "CHARGE_INVALID");
    const logged = e.payloads("settlement.charged");
    must(logged.length === 1 && logged[0][1].amount_fen === charge.amount_fen, "CHARGE_INVALID");
    must(logged[0][1].units === charge.units, "CHARGE_INVALID");
    must(canonical(items(logged[0][1], "reports")) === canonical(await e.reportDigests()), "CHARGE_INVALID");
  },
  async anchor(e) {
    const anchor = e.bundle.anchor;
    if (anchor === null) { throw new NotPossible("NO_ANCHOR"); }
    must(isObject(anchor) && hasExactly(anchor, ["chain_id", "contract_address", "size", "root", "block_number", "block_hash", "transaction"]), "ANCHOR_INVALID");
    const chain = e.policy.chain;
    must(!chain || (anchor.chain_id === chain.chain_id && String(anchor.contract_address).toLowerCase() === chain.contract_address.toLowerCase()), "ANCHOR_INVALID");
    const checkpoint = await checkpointOf(e.bundle.checkpoint, e.policy);
    if (anchor.size !== checkpoint.size) { throw new NotPossible("OTHER_SIZE"); }
    must(String(anchor.root).replace(/^0x/, "") === hex(checkpoint.root), "ANCHOR_INVALID");
  },
  async chain() { throw new NotPossible("CHAIN_NOT_ASKED"); },
};

const open = async (bytes, policy) => {
  const value = parseCanonical(bytes);
  typed(value, TYPE);
  must(hasExactly(value, ["type", "number", "computation", "documents", "entries", "checkpoint", "anchor", "charge", "proof"]), "BUNDLE_INVALID");
  must(isObject(value.documents) && hasExactly(value.documents, ["contract", "request", "job", "consents", "reports"]), "BUNDLE_INVALID");
  await checkSignatures(value, [policy.exchange_document_key]);
  must(value.proof.length === 1, "BUNDLE_INVALID");
  return value;
};

const answer = async (name, question) => {
  const required = !OPTIONAL.has(name);
  try { await question(); return { name, required, status: "PASS", code: "" }; }
  catch (error) {
    if (error instanceof NotPossible) { return { name, required, status: "NOT_CHECKED", code: error.message }; }
    return { name, required, status: "FAIL", code: error instanceof Failure ? error.code : "MEMBER_INVALID" };
  }
};

/**
 * Judge the bytes of a receipt bundle under a trust policy.
 * @returns {Promise<{checks: {name: string, required: boolean, status: string, code: string}[], bundle: object|null}>}
 */
export async function verify(bytes, policy) {
  let bundle = null;
  const first = await answer("bundle", async () => { bundle = await open(bytes, policy); });
  if (first.status === "FAIL") {
    return { bundle: null, checks: [first, ...QUESTIONS.slice(1).map((name) => ({ name, required: !OPTIONAL.has(name), status: "NOT_CHECKED", code: "NOT_WHOLE" }))] };
  }
  if (bundle === null) { // the browser cannot check Ed25519: show what hashes alone can tell
    try { bundle = parseCanonical(bytes); } catch { bundle = null; }
  }
  const evidence = new Evidence(bundle, policy);
  const checks = [first];
  for (const name of QUESTIONS.slice(1)) { checks.push(await answer(name, () => ASK[name](evidence))); }
  return { bundle, checks };
}

/** Whether nothing failed and every required question was answered with PASS. */
export const accepted = (checks) => checks.every((check) => check.status === "PASS" || (check.status === "NOT_CHECKED" && !check.required));
export { sha256, hex };
