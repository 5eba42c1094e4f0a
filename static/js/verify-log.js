// The log's side of the verifier: trust policy, signed notes, checkpoints, cosignatures, Merkle paths, leaves.
// The twin of ledger/proofs/policies.py, notes.py, checkpoints.py, cosignatures.py, merkle.py and leaves.py (C2SP, RFC 6962).
"use strict";

import {
  Open, checkDidKey, fail, hasExactly, hex, isObject, join, must, parseCanonical, same, sha256, unbase64, utf8,
  verifyEd25519,
} from "./verify-core.js";

const NOTE_BYTES = 1_000_000, SIGNATURES = 100;
const ED25519 = 1, COSIGNATURE = 4, ML_DSA_44 = 6; // ML-DSA-44 is no part of WebCrypto: such lines are not counted here
const KEY_BYTES = { [ED25519]: 32, [COSIGNATURE]: 32, [ML_DSA_44]: 1312 };
const SPACES = /[\u0000-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]/;
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const DEVELOPMENT_CHAINS = [1337, 31337];

// --- the trust policy ------------------------------------------------------------------------------------------
const POLICY = "hengshu/trust-policy/";
const whole = (value) => { must(Number.isSafeInteger(value) && value >= 0, "POLICY_INVALID"); return value; };
const form = (condition) => must(condition, "POLICY_INVALID");
const shape = (value, names) => { form(isObject(value) && hasExactly(value, names)); return value; };
const windowsOf = (list) => {
  form(Array.isArray(list) && list.length > 0 && new Set(list.map((one) => one?.key)).size === list.length);
  list.forEach((one, place) => {
    shape(one, ["key", "from", "until"]);
    form(typeof one.key === "string");
    form(one.until === null || whole(one.until) >= whole(one.from));
    form(place === list.length - 1 || (one.until !== null && whole(list[place + 1]?.from) >= one.from));
    whole(one.from);
  });
  return list;
};

/** A policy of either version as version 2; throws for what is none. */
export const readPolicy = async (given) => {
  form(isObject(given));
  let policy = given;
  if (given.type === `${POLICY}v1`) {
    shape(given, ["type", "exchange_document_key", "log_origin", "log_key", "chain"]);
    const chain = given.chain && shape(given.chain, ["chain_id", "contract_address"]);
    policy = {
      type: `${POLICY}v2`,
      exchange_keys: [{ key: given.exchange_document_key, from: 0, until: null }],
      logs: [{ origin: given.log_origin, keys: [{ key: given.log_key, from: 0, until: null }], frozen: null }],
      witnesses: { keys: [], quorum: 0 }, revoked: [],
      chain: chain && {
        ...chain, genesis_hash: null, code_hash: null, development: DEVELOPMENT_CHAINS.includes(chain.chain_id), validators: [],
      },
    };
  }
  form(policy.type === `${POLICY}v2`);
  shape(policy, ["type", "exchange_keys", "logs", "witnesses", "revoked", "chain"]);
  windowsOf(policy.exchange_keys).forEach((one) => checkDidKey(one.key));
  form(Array.isArray(policy.logs) && policy.logs.length > 0);
  const vkeys = new Set();
  for (const [place, log] of policy.logs.entries()) {
    shape(log, ["origin", "keys", "frozen"]);
    form(typeof log.origin === "string" && policy.logs.findIndex((one) => one.origin === log.origin) === place);
    form(log.frozen === null ? place === policy.logs.length - 1 : /^[0-9a-f]{64}$/.test(shape(log.frozen, ["size", "root"]).root));
    if (log.frozen) { whole(log.frozen.size); }
    for (const one of windowsOf(log.keys)) {
      const key = await vkeyOf(one.key);
      form(key.name === log.origin && key.algorithm !== COSIGNATURE && !vkeys.has(hex(key.raw)));
      vkeys.add(hex(key.raw));
    }
  }
  const { keys, quorum } = shape(policy.witnesses, ["keys", "quorum"]);
  const raws = new Set();
  for (const one of Array.isArray(keys) ? keys : fail("POLICY_INVALID")) {
    const key = await vkeyOf(one);
    form(key.algorithm !== ED25519 && !raws.has(hex(key.raw)));
    raws.add(hex(key.raw));
  }
  form(whole(quorum) <= keys.length && Array.isArray(policy.revoked));
  for (const one of policy.revoked) {
    shape(one, ["key", "origin", "index"]);
    form(typeof one.key === "string" && policy.logs.some((log) => log.origin === one.origin));
    whole(one.index);
  }
  form(new Set(policy.revoked.map((one) => folded(one.key))).size === policy.revoked.length);
  if (policy.chain !== null) {
    const chain = shape(policy.chain, ["chain_id", "contract_address", "genesis_hash", "code_hash", "development", "validators"]);
    form(ADDRESS.test(chain.contract_address) && typeof chain.development === "boolean" && Array.isArray(chain.validators));
    form(chain.validators.every((one) => ADDRESS.test(one)) && whole(chain.chain_id) >= 0);
    for (const one of [chain.genesis_hash, chain.code_hash]) { form(one === null || /^0x[0-9a-f]{64}$/.test(one)); }
  }
  return policy;
};

const folded = (key) => (ADDRESS.test(key) ? key.toLowerCase() : key);
export const exchangeKeys = (policy) => policy.exchange_keys.map((one) => one.key);
export const logKeys = (policy, origin) => policy.logs.filter((log) => log.origin === origin).flatMap((log) => log.keys.map((one) => one.key));
/** A leaf's place among the leaves of all shards. */
export const placeOf = (policy, origin, index) => {
  let before = 0n;
  for (const log of policy.logs) {
    if (log.origin === origin) {
      must(index >= 0n && (log.frozen === null || index < BigInt(log.frozen.size)), "INDEX_INVALID");
      return before + index;
    }
    before += log.frozen === null ? 0n : BigInt(log.frozen.size);
  }
  return fail("ORIGIN_UNKNOWN");
};
export const exchangeKeysAt = (policy, position) =>
  policy.exchange_keys.filter((one) => BigInt(one.from) <= position && (one.until === null || position < BigInt(one.until))).map((one) => one.key);
export const logKeysAt = (policy, origin, size) => policy.logs
  .filter((log) => log.origin === origin && (log.frozen === null || size <= BigInt(log.frozen.size)))
  .flatMap((log) => log.keys.filter((one) => BigInt(one.from) <= size && (one.until === null || size <= BigInt(one.until))).map((one) => one.key));
/** Whether a frozen log ended so: then the policy itself vouches for the root, whoever has signed it. */
export const isEnd = (policy, origin, size, root) => policy.logs
  .some((log) => log.origin === origin && log.frozen !== null && BigInt(log.frozen.size) === size && log.frozen.root === root);
export const countsAt = (policy, key, position) =>
  policy.revoked.every((one) => folded(one.key) !== folded(key) || position < placeOf(policy, one.origin, BigInt(one.index)));

// --- signed notes ------------------------------------------------------------------------------------------------
const checkName = (name, code) => must(name !== "" && !SPACES.test(name) && !/[\ud800-\udfff]/u.test(name), code);
const vkeyOf = async (vkey) => {
  must(typeof vkey === "string", "KEY_INVALID");
  const [name, id = "", ...rest] = vkey.split("+"); // base64 may hold a plus sign itself
  checkName(name, "KEY_INVALID");
  const encoded = unbase64(rest.join("+"), "KEY_INVALID");
  must(encoded.length > 0 && encoded.length - 1 === KEY_BYTES[encoded[0]], "KEY_INVALID");
  const keyId = (await sha256(join(utf8.encode(`${name}\n`), encoded))).slice(0, 4);
  must(hex(keyId) === id, "KEY_INVALID");
  return { vkey, name, keyId, algorithm: encoded[0], raw: encoded.slice(1) };
};
const parseNote = (note) => {
  must(typeof note === "string" && utf8.encode(note).length <= NOTE_BYTES, "NOTE_INVALID");
  const end = note.lastIndexOf("\n\n");
  must(end >= 0 && note.endsWith("\n"), "NOTE_INVALID");
  const body = `${note.slice(0, end)}\n`, tail = note.slice(end + 2);
  must(tail.endsWith("\n") && !CONTROL.test(body), "NOTE_INVALID");
  const lines = tail.slice(0, -1).split("\n");
  must(lines.length <= SIGNATURES, "NOTE_INVALID");
  const signatures = lines.map((line) => {
    must(line.startsWith("— "), "NOTE_INVALID");
    const cut = line.indexOf(" ", 2);
    must(cut > 0, "NOTE_INVALID");
    const name = line.slice(2, cut), raw = unbase64(line.slice(cut + 1), "NOTE_INVALID");
    checkName(name, "NOTE_INVALID");
    must(raw.length >= 5, "NOTE_INVALID");
    return { name, keyId: raw.slice(0, 4), value: raw.slice(4) };
  });
  return { body, signatures };
};
const parseHead = (body) => {
  const lines = body.split("\n");
  must(lines.length >= 4 && lines.at(-1) === "" && lines.slice(0, -1).every(Boolean) && !CONTROL.test(body), "CHECKPOINT_INVALID");
  must(/^(0|[1-9]\d{0,18})$/.test(lines[1]) && BigInt(lines[1]) < 2n ** 63n, "CHECKPOINT_INVALID");
  const root = unbase64(lines[2], "CHECKPOINT_INVALID");
  must(root.length === 32, "CHECKPOINT_INVALID");
  return { origin: lines[0], size: BigInt(lines[1]), root };
};
const timeOf = (value) => value.slice(0, 8).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
const isSigned = async (key, body, value) => {
  if (key.algorithm === ED25519) { return value.length === 64 && verifyEd25519(key.raw, value, utf8.encode(body)); }
  if (value.length !== 72 || timeOf(value) >= 2n ** 63n) { return false; }
  return verifyEd25519(key.raw, value.slice(8), utf8.encode(`cosignature/v1\ntime ${timeOf(value)}\n${body}`));
};
/** Which of these keys have signed: `held` those whose signature holds, `unread` how many this browser cannot check. */
const signersOf = async ({ body, signatures }, vkeys) => {
  const keys = [];
  for (const vkey of vkeys) { keys.push(await vkeyOf(vkey)); }
  const held = new Set(), unread = new Set();
  for (const signature of signatures) {
    const key = keys.find((one) => one.name === signature.name && same(one.keyId, signature.keyId));
    if (!key) { continue; }
    if (key.algorithm === ML_DSA_44) { unread.add(key.vkey); continue; }
    must(await isSigned(key, body, signature.value), "SIGNATURE_INVALID");
    held.add(key.vkey);
  }
  return { held, unread };
};

/** A checkpoint that a key of the policy's log has signed: its origin, size, root, and who signed. */
export const checkpointOf = async (note, policy) => {
  const parsed = parseNote(note), head = parseHead(parsed.body), keys = logKeys(policy, head.origin);
  must(keys.length > 0, "ORIGIN_UNKNOWN");
  const { held, unread } = await signersOf(parsed, keys);
  if (held.size === 0 && unread.size > 0) { throw new Open("ML_DSA_UNSUPPORTED"); }
  must(held.size > 0, "SIGNATURE_MISSING");
  return { ...head, signers: held };
};
/** How many of the policy's witnesses have cosigned; fails below the quorum. */
export const cosigned = async (note, policy) => {
  const parsed = parseNote(note);
  parseHead(parsed.body);
  const { held, unread } = await signersOf(parsed, policy.witnesses.keys);
  if (held.size < policy.witnesses.quorum && held.size + unread.size >= policy.witnesses.quorum) { throw new Open("ML_DSA_UNSUPPORTED"); }
  must(held.size >= policy.witnesses.quorum, "QUORUM_MISSING");
  return held;
};

// --- leaves and Merkle paths -----------------------------------------------------------------------------------------
const LEAF = ["v", "kind", "id", "subject", "issuer", "prev", "at", "commit"];
export const leafOf = (value) => {
  const leaf = parseCanonical(utf8.encode(value), 4096);
  must(isObject(leaf) && hasExactly(leaf, LEAF) && leaf.v === 1, "LEAF_INVALID");
  for (const name of ["kind", "id", "subject", "issuer", "at", "commit"]) { must(typeof leaf[name] === "string" && leaf[name] !== "", "LEAF_INVALID"); }
  must(leaf.prev === null || (typeof leaf.prev === "string" && /^[0-9a-f]{64}$/.test(leaf.prev)), "LEAF_INVALID");
  must(/^[0-9a-f]{64}$/.test(leaf.commit) && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(leaf.at) && /^[a-z_]+\.[a-z_]+$/.test(leaf.kind), "LEAF_INVALID");
  return leaf;
};
export const leafHash = (data) => sha256(join(Uint8Array.of(0), data));
const nodeHash = (left, right) => sha256(join(Uint8Array.of(1), left, right));
export const checkInclusion = async (index, size, hash, path, root) => {
  must(index < size && path.every((step) => step.length === 32), "INCLUSION_INVALID");
  let position = index, last = size - 1n, hashed = hash;
  for (const sibling of path) {
    must(last !== 0n, "INCLUSION_INVALID");
    if (position & 1n || position === last) {
      hashed = await nodeHash(sibling, hashed);
      while (!(position & 1n) && position) { position >>= 1n; last >>= 1n; }
    } else { hashed = await nodeHash(hashed, sibling); }
    position >>= 1n; last >>= 1n;
  }
  must(last === 0n && same(hashed, root), "INCLUSION_INVALID");
};
