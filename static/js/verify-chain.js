// The chain's side of the verifier: RLP, Merkle-Patricia proofs, block headers, validators' seals, storage slots.
// The twin of ledger/proofs/rlp.py, trie.py, headers.py, qbft.py, layout.py and chain.py. No node is asked.
"use strict";

import { keccak_256 } from "../vendor/noble-hashes/sha3.js";
import { recoverPublicKey } from "../vendor/noble-secp256k1/index.js";
import { Failure, fail, hasExactly, hex, isObject, join, must, same } from "./verify-core.js";

const PROOF = "CHAIN_PROOF_INVALID";
const MIX_HASH = "63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"; // marks QBFT and IBFT 2.0
const EMPTY_ROOT = hex(keccak_256(Uint8Array.of(0x80)));
const MAX_NODES = 130, MAX_NODE_BYTES = 1 << 16, MAX_HEADER_BYTES = 1 << 17, MAX_DEPTH = 16, MAX_SLOTS = 64, MAX_VALIDATORS = 1000;
const SLOTS = { root_in: 4n, grants: 6n, voided: 7n };
const GRANT = ["grantor", "terms_digest", "not_before", "not_after", "cap", "used", "revoked_at"];

// --- bytes -------------------------------------------------------------------------------------------------------
const fromHex = (text, code, pattern = /^0x([0-9a-f]{2})*$/) => {
  must(typeof text === "string" && pattern.test(text), code);
  return Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
};
const toNumber = (bytes) => (bytes.length ? BigInt(`0x${hex(bytes)}`) : 0n);
const word = (value) => fromHex(`0x${value.toString(16).padStart(64, "0")}`, PROOF);
/** Anything that is wrong inside, whatever it was, is one failure of this code. */
const within = (code, work) => {
  try { return work(); } catch (error) { if (error instanceof Failure) { fail(code); } throw error; }
};

// --- RLP: one value has one encoding -------------------------------------------------------------------------------
const RLP = "RLP_INVALID";
const extent = (data, start, end, base) => {
  let length = data[start] - base, body = start + 1;
  if (length > 55) {
    const width = length - 55;
    must(body + width <= end && data[body] !== 0, RLP);
    length = Number(toNumber(data.slice(body, body + width)));
    body += width;
    must(length > 55, RLP);
  }
  must(length <= end - body, RLP);
  return [body, body + length];
};
const readItem = (data, start, end, depth) => {
  must(start < end, RLP);
  if (data[start] < 0x80) { return [data.slice(start, start + 1), start + 1]; }
  const isString = data[start] < 0xc0, [body, stop] = extent(data, start, end, isString ? 0x80 : 0xc0);
  if (isString) {
    const content = data.slice(body, stop);
    must(content.length !== 1 || content[0] >= 0x80, RLP);
    return [content, stop];
  }
  must(depth > 0, RLP);
  const found = [];
  for (let place = body; place < stop;) { const [item, next] = readItem(data, place, stop, depth - 1); found.push(item); place = next; }
  return [found, stop];
};
const decode = (data, maxBytes = 1 << 20) => {
  must(data.length <= maxBytes, RLP);
  const [item, end] = readItem(data, 0, data.length, MAX_DEPTH);
  must(end === data.length, RLP);
  return item;
};
const decodeList = (data, maxBytes) => { const item = decode(data, maxBytes); must(Array.isArray(item), RLP); return item; };
const prefix = (length, base) => {
  if (length <= 55) { return Uint8Array.of(base + length); }
  const digits = length.toString(16), written = fromHex(`0x${digits.padStart(digits.length + (digits.length % 2), "0")}`, RLP);
  return join(Uint8Array.of(base + 55 + written.length), written);
};
const encode = (value) => {
  if (Array.isArray(value)) { const body = join(...value.map(encode)); return join(prefix(body.length, 0xc0), body); }
  return value.length === 1 && value[0] < 0x80 ? value : join(prefix(value.length, 0x80), value);
};
const integer = (item, bits = 256) => {
  must(item instanceof Uint8Array && item.length * 8 <= bits && item[0] !== 0, RLP);
  return toNumber(item);
};
const fixed = (item, length) => { must(item instanceof Uint8Array && item.length === length, RLP); return item; };

// --- Merkle-Patricia proofs (yellow paper, appendix D) -----------------------------------------------------------------
const nibbles = (data) => Array.from(data).flatMap((byte) => [byte >> 4, byte & 15]);
const isText = (item) => item instanceof Uint8Array;
const valueOf = (item) => { must(isText(item), PROOF); return item; };
const checkChild = (child) => must(
  isText(child) ? child.length === 32 : [2, 17].includes(child.length) && encode(child).length < 32, PROOF);
const isEmpty = (item) => isText(item) && item.length === 0;
const checkBranch = (node) => {
  const children = node.slice(0, 16).filter((child) => !isEmpty(child));
  children.forEach(checkChild);
  must(children.length + (valueOf(node[16]).length ? 1 : 0) >= 2, PROOF);
};
const hexPrefix = (item) => {
  must(isText(item) && item.length > 0 && item[0] < 0x40 && (item[0] & 0x10 || !(item[0] & 0x0f)), PROOF);
  return [Boolean(item[0] & 0x20), nibbles(item).slice(item[0] & 0x10 ? 1 : 2)];
};
/** The value under a key, or null where the proof shows that there is none. */
const lookUp = (root, key, proof) => {
  must(proof.length <= MAX_NODES, PROOF);
  if (hex(root) === EMPTY_ROOT && proof.length === 0) { return null; }
  let used = 0, path = nibbles(key), branchOnly = false;
  const listed = (name, isRoot = false) => {
    must(used < proof.length, PROOF);
    const encoded = proof[used];
    used += 1;
    must(same(keccak_256(encoded), name) && (isRoot || encoded.length >= 32), PROOF);
    return within(PROOF, () => decode(encoded, MAX_NODE_BYTES));
  };
  const end = (value) => { must(used === proof.length, PROOF); return value; };
  for (let node = listed(root, true); ;) {
    if (isEmpty(node) && used === 1 && same(proof[0], Uint8Array.of(0x80))) { return end(null); }
    must(Array.isArray(node) && [2, 17].includes(node.length) && (!branchOnly || node.length === 17), PROOF);
    let child;
    if (node.length === 17) {
      checkBranch(node);
      if (path.length === 0) { const value = valueOf(node[16]); return end(value.length ? value : null); }
      child = node[path[0]]; path = path.slice(1);
      if (isEmpty(child)) { return end(null); }
      branchOnly = false;
    } else {
      const [isLeaf, part] = hexPrefix(node[0]);
      if (isLeaf) {
        const value = valueOf(node[1]);
        must(value.length > 0, PROOF);
        return end(part.length === path.length && part.every((one, place) => one === path[place]) ? value : null);
      }
      must(part.length > 0, PROOF);
      checkChild(node[1]);
      if (!part.every((one, place) => one === path[place])) { return end(null); }
      child = node[1]; path = path.slice(part.length);
      branchOnly = true;
    }
    node = isText(child) ? listed(child) : child;
  }
};

// --- headers and seals --------------------------------------------------------------------------------------------------
const LENGTHS = { 0: 32, 1: 32, 2: 20, 3: 32, 4: 32, 5: 32, 6: 256, 13: 32, 14: 8, 16: 32, 19: 32, 20: 32 };
const INTEGERS = [7, 8, 9, 10, 11, 15, 17, 18];
const withExtra = (list, extra) => encode([...list.slice(0, 12), extra, ...list.slice(13)]);
const parseExtra = (data) => {
  const list = decodeList(data);
  must(list.length === 5, RLP);
  const [vanity, listed, vote, round, sealed] = list;
  fixed(vanity, 32);
  must(Array.isArray(listed) && Array.isArray(sealed) && Math.max(listed.length, sealed.length) <= MAX_VALIDATORS, RLP);
  const isIbft = isText(round) && round.length === 4;
  if (!(isIbft ? isEmpty(vote) : Array.isArray(vote) && vote.length === 0)) {
    must(Array.isArray(vote) && vote.length === 2 && isText(vote[1]) && ["", "00", "ff"].includes(hex(vote[1])), RLP);
    fixed(vote[0], 20);
  }
  if (!isIbft) { integer(round, 31); }
  const head = [vanity, listed, vote], none = new Uint8Array(0);
  return {
    validators: listed.map((one) => `0x${hex(fixed(one, 20))}`),
    seals: sealed.map((one) => fixed(one, 65)),
    forHash: encode(isIbft ? head : [...head, none, []]),
    forSeals: encode(isIbft ? [...head, round] : [...head, round, []]),
  };
};
const readHeader = (encoded) => within("HEADER_INVALID", () => {
  const list = decodeList(encoded, MAX_HEADER_BYTES);
  must(list.length >= 15 && list.length <= 32, RLP);
  for (const [place, length] of Object.entries(LENGTHS)) { if (place < list.length) { fixed(list[place], length); } }
  for (const place of INTEGERS) { if (place < list.length) { integer(list[place]); } }
  const number = integer(list[8], 64);
  must(isText(list[12]), RLP);
  integer(list[11], 64);
  let extra = null, hashed = encoded, sealDigest = null;
  if (hex(list[13]) === MIX_HASH && number > 0n) { // the first block is hashed as it stands
    extra = parseExtra(list[12]);
    sealDigest = keccak_256(withExtra(list, extra.forSeals));
    hashed = withExtra(list, extra.forHash);
  }
  return { hash: `0x${hex(keccak_256(hashed))}`, stateRoot: list[3], number, extra, sealDigest };
});
const sealerOf = (digest, seal) => {
  must(seal[64] <= 1, "SEALS_INVALID");
  try {
    const point = recoverPublicKey(join(seal.slice(64), seal.slice(0, 64)), digest, { prehash: false, isCompressed: false });
    return `0x${hex(keccak_256(point.slice(1)).slice(-20))}`;
  } catch { return fail("SEALS_INVALID"); }
};

/** The header of a piece of evidence, its seals unread. */
export const headerOf = (evidence) => {
  const text = evidence.header;
  must(typeof text === "string", "MEMBER_INVALID");
  return readHeader(fromHex(`0x${text.replace(/^0x/, "")}`, "HEADER_INVALID"));
};
/** Checks that two thirds of these validators sealed the block, each once, and nobody else. */
export const checkSeals = (header, validators) => {
  must(header.extra, "SEALS_MISSING");
  const believed = new Set(validators.map((one) => one.toLowerCase())), named = new Set(header.extra.validators);
  must(named.size === 0 || (named.size === believed.size && [...named].every((one) => believed.has(one))), "VALIDATORS_DIFFER");
  const sealers = new Set();
  for (const seal of header.extra.seals) {
    const sealer = sealerOf(header.sealDigest, seal);
    must(believed.has(sealer) && !sealers.has(sealer), "SEALS_INVALID");
    sealers.add(sealer);
  }
  must(sealers.size >= Math.ceil((2 * believed.size) / 3), "SEALS_MISSING");
};

// --- what the contract holds ------------------------------------------------------------------------------------------------
const list = (value) => { must(Array.isArray(value), PROOF); return value; };
const nodesOf = (value) => list(value).map((node) => fromHex(node, PROOF));

/** Checks every proof of a piece of evidence about the policy's contract: its block, and values by slot. */
export const readEvidence = (evidence, chain) => {
  must(isObject(evidence) && hasExactly(evidence, ["header", "account_proof", "storage"]), PROOF);
  const header = readHeader(fromHex(evidence.header, PROOF));
  const key = keccak_256(fromHex(chain.contract_address, PROOF, /^0x[0-9a-fA-F]{40}$/));
  const encoded = lookUp(header.stateRoot, key, nodesOf(evidence.account_proof));
  must(encoded !== null, "CHAIN_CONTRACT_ABSENT");
  const [storageRoot, codeHash] = within(PROOF, () => {
    const members = decodeList(encoded);
    must(members.length === 4, RLP);
    integer(members[0], 64); integer(members[1]);
    return [fixed(members[2], 32), `0x${hex(fixed(members[3], 32))}`];
  });
  must(!chain.code_hash || codeHash === chain.code_hash.toLowerCase(), "CODE_DIFFERS");
  const values = new Map();
  must(list(evidence.storage).length <= MAX_SLOTS, PROOF);
  for (const entry of evidence.storage) {
    must(isObject(entry) && hasExactly(entry, ["slot", "value", "proof"]), PROOF);
    must(typeof entry.slot === "string" && /^0x[0-9a-f]{64}$/.test(entry.slot) && !values.has(entry.slot), PROOF);
    must(typeof entry.value === "string" && /^0x(0|[1-9a-f][0-9a-f]{0,63})$/.test(entry.value), PROOF);
    const stored = lookUp(storageRoot, keccak_256(fromHex(entry.slot, PROOF)), nodesOf(entry.proof));
    const held = stored === null ? 0n : within(PROOF, () => integer(decode(stored)));
    must(held === BigInt(entry.value), PROOF);
    values.set(entry.slot, held);
  }
  return { number: header.number, hash: header.hash, values };
};

// --- where the contract keeps things: Vyper puts map[key] at keccak256(slot, key) ---------------------------------------------
const mapped = (slot, key) => toNumber(keccak_256(join(word(slot), key)));
const slotText = (slot) => `0x${(slot % (1n << 256n)).toString(16).padStart(64, "0")}`;
const addressWord = (address) => join(new Uint8Array(12), fromHex(address, "TYPED_DATA_INVALID", /^0x[0-9a-fA-F]{40}$/));
export const rootSlot = (shard, size) => slotText(mapped(mapped(SLOTS.root_in, word(BigInt(shard))), word(size)));
/** The slots that say whether a grant is in force: grantor, terms, revoked_at, voided. */
export const grantSlots = (signer, terms) => {
  const address = addressWord(signer), digest = fromHex(`0x${terms}`, "TYPED_DATA_INVALID");
  const grant = mapped(SLOTS.grants, keccak_256(join(address, digest)));
  const members = ["grantor", "terms_digest", "revoked_at"].map((name) => slotText(grant + BigInt(GRANT.indexOf(name))));
  return [...members, slotText(mapped(mapped(SLOTS.voided, address), digest))];
};
/** Checks that a grant stands, is not revoked and its terms are not withdrawn. */
export const checkGrant = (held, signer, terms) => {
  const [grantor, digest, revokedAt, voided] = grantSlots(signer, terms).map((slot) => held.values.get(slot));
  must(grantor !== 0n && grantor === BigInt(signer) && digest === BigInt(`0x${terms}`), "GRANT_ABSENT");
  must(revokedAt === 0n, "GRANT_REVOKED");
  must(voided === 0n, "STATEMENT_VOIDED");
};
