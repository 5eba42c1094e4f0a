// What every question of the verifier needs: strict bytes, canonical JSON, members read with care, signatures.
// The twin of ledger/proofs/canonical.py, multibase.py and statements.py; hashes and Ed25519 are the browser's own.
"use strict";

const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const MAX_DEPTH = 64;
export const utf8 = new TextEncoder();

/** A question whose answer is no. */
export class Failure extends Error {
  constructor(code) { super(code); this.code = code; }
}
/** A question that this file, this policy or this browser leaves open; `values` go into the sentence. */
export class Open extends Error {
  constructor(code, values = {}) { super(code); this.code = code; this.values = values; }
}
export const fail = (code) => { throw new Failure(code); };
export const must = (condition, code) => { if (!condition) { fail(code); } };

// --- bytes ------------------------------------------------------------------------------------------------
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const unhex = (text, code) => {
  must(typeof text === "string" && /^([0-9a-f]{2})*$/.test(text), code);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
};
export const join = (...parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) { whole.set(part, place); place += part.length; }
  return whole;
};
export const same = (a, b) => a.length === b.length && a.every((byte, index) => byte === b[index]);
export const unbase64 = (text, code) => {
  let raw;
  try { raw = atob(text); } catch { fail(code); }
  must(btoa(raw) === text, code);
  return Uint8Array.from(raw, (character) => character.charCodeAt(0));
};
export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

// --- canonical JSON (RFC 8785; integers only) ----------------------------------------------------------------
const isWhole = (text) => !/[\ud800-\udfff]/u.test(text); // with /u a pair is one character, so this is half of one
export const canonical = (value, depth = 0) => {
  must(depth <= MAX_DEPTH, "JSON_INVALID");
  if (value === null || typeof value === "boolean") { return String(value); }
  if (typeof value === "number") { must(Number.isSafeInteger(value), "NOT_CANONICAL"); return String(value); }
  if (typeof value === "string") { must(isWhole(value), "JSON_INVALID"); return JSON.stringify(value); }
  if (Array.isArray(value)) { return `[${value.map((item) => canonical(item, depth + 1)).join(",")}]`; }
  must(typeof value === "object", "NOT_CANONICAL");
  const member = (name) => `${canonical(name)}:${canonical(value[name], depth + 1)}`;
  return `{${Object.keys(value).sort().map(member).join(",")}}`;
};
export const parseCanonical = (bytes, maxBytes) => {
  must(bytes.length <= maxBytes, "JSON_TOO_LARGE");
  let text, value;
  try { text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); value = JSON.parse(text); }
  catch { fail("JSON_INVALID"); }
  must(canonical(value) === text, "NOT_CANONICAL");
  return value;
};
export const unsigned = (document) => { const { proof: _, ...rest } = document; return rest; };
export const digest = async (document) => hex(await sha256(utf8.encode(canonical(unsigned(document)))));

// --- members, read with care ---------------------------------------------------------------------------------
export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const member = (document, name) => (Object.hasOwn(document, name) ? document[name] : undefined);
export const text = (document, name) => {
  const value = member(document, name); must(typeof value === "string", "MEMBER_INVALID"); return value;
};
export const number = (document, name) => {
  const value = member(document, name); must(Number.isSafeInteger(value) && value >= 0, "MEMBER_INVALID"); return value;
};
export const mapping = (document, name) => {
  const value = member(document, name); must(isObject(value), "MEMBER_INVALID"); return value;
};
export const items = (document, name) => {
  const value = member(document, name); must(Array.isArray(value), "MEMBER_INVALID"); return value;
};
export const objects = (document, name) => {
  const found = items(document, name); must(found.every(isObject), "MEMBER_INVALID"); return found;
};
export const typed = (document, kind) => {
  must(isObject(document) && member(document, "type") === kind, "TYPE_UNKNOWN"); return document;
};
export const hasExactly = (document, names, optional = []) => {
  const found = Object.keys(document).filter((name) => !optional.includes(name));
  return canonical(found.sort()) === canonical([...names].sort());
};

// --- keys and signatures ---------------------------------------------------------------------------------------
const unbase58 = (value) => {
  must(typeof value === "string" && value.startsWith("z") && value.length <= 512, "ENCODING_INVALID");
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
export const checkDidKey = (did) => { keyOf(did); };
export const verifyEd25519 = async (key, signature, message) => {
  let imported;
  try { imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]); }
  catch (error) { if (error.name === "NotSupportedError") { throw new Open("ED25519_UNSUPPORTED"); } fail("KEY_INVALID"); }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
};
const PROOF = ["type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue"];
export const proofsOf = (document) => {
  const proofs = document.proof ?? [];
  must(document.proof !== null && Array.isArray(proofs), "PROOF_INVALID");
  for (const proof of proofs) {
    must(isObject(proof) && hasExactly(proof, PROOF) && Object.values(proof).every((one) => typeof one === "string"), "PROOF_INVALID");
  }
  return proofs;
};
export const signerOf = (proof) => {
  const cut = proof.verificationMethod.indexOf("#");
  const did = cut < 0 ? proof.verificationMethod : proof.verificationMethod.slice(0, cut);
  const fragment = cut < 0 ? "" : proof.verificationMethod.slice(cut + 1);
  must(did.replace(/^did:key:/, "") === fragment, "PROOF_INVALID");
  return did;
};
/** Checks that every did:key in `signers` has signed; proofs by others must hold too. */
export const checkSignatures = async (document, signers) => {
  const found = new Set();
  const body = await sha256(utf8.encode(canonical(unsigned(document))));
  for (const proof of proofsOf(document)) {
    must(proof.type === "DataIntegrityProof" && proof.cryptosuite === "eddsa-jcs-2022" && proof.proofPurpose === "assertionMethod" && TIME.test(proof.created), "PROOF_INVALID");
    const did = signerOf(proof);
    must(!found.has(did), "PROOF_INVALID");
    const { proofValue, ...options } = proof;
    const message = join(await sha256(utf8.encode(canonical(options))), body);
    must(await verifyEd25519(keyOf(did), unbase58(proofValue), message), "SIGNATURE_INVALID");
    found.add(did);
  }
  must(signers.length > 0 && signers.every((signer) => found.has(signer)), "SIGNATURE_MISSING");
};
