// Notices to data subjects in the reader's own browser: every batch of a window is fetched and tried with the card, here.
// The twin of compute/protocol/notices.py; what was not sealed to this card stays closed, and nobody is told which was.
import { contextOf, tryOpen } from "./hpke.js";
import { canonical, checkSignatures, hex, join, parseCanonical, same, sha256, utf8 } from "./verify-core.js";

const SUITE = "HPKE-X25519-HKDF-SHA256-AES-256-GCM/v1";
const STATEMENT = "hengshu/subject-notice/v1";
export const CARD = "hengshu/notice-card/v1";
export const RECORD = 128, SEALED = 96;
const KEY = 32, AT_ONCE = 64, MAX_STATEMENT = 64 * 1024;

/** A notice for this card that is not what it must be: the node that made it is at fault. */
export class Untrusted extends Error {}

const readStatement = async (batch, key) => {
  const commitment = await sha256(join(utf8.encode("hengshu/notice-key/v1"), key));
  if (!same(commitment, batch.statement.slice(0, KEY))) { throw new Untrusted("another key"); }
  const imported = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"]);
  const additionalData = Uint8Array.from(batch.ref.match(/../g), (pair) => Number.parseInt(pair, 16));
  const opening = { name: "AES-GCM", iv: new Uint8Array(12), additionalData };
  const whole = new Uint8Array(await crypto.subtle.decrypt(opening, imported, batch.statement.slice(KEY)));
  const size = new DataView(whole.buffer).getUint32(0);
  const statement = parseCanonical(whole.slice(4, 4 + size), MAX_STATEMENT);
  await checkSignatures(statement, [statement.buyer.document_key]);
  if (statement.type !== STATEMENT || statement.batch !== batch.ref) { throw new Untrusted("another batch"); }
  return statement;
};

/** What is in a batch for this pair: [{statement, token}], the token as 32 hex digits. */
export const openBatch = async (batch, pair, { onTried = () => {}, signal } = {}) => {
  const context = contextOf(utf8.encode(canonical({ type: "hengshu/sealed-notice/v1", suite: SUITE, batch: batch.ref })));
  const found = [], count = batch.records.length / RECORD;
  for (let first = 0; first < count; first += AT_ONCE) {
    signal?.throwIfAborted();
    const records = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, place) => {
      const start = (first + place) * RECORD;
      return batch.records.subarray(start, start + RECORD);
    });
    const opened = await Promise.all(records.map((record) => tryOpen(record.slice(0, SEALED), pair, context)));
    for (const [place, plain] of opened.entries()) {
      if (!plain) { continue; }
      const token = plain.slice(KEY);
      let statement;
      try { statement = await readStatement(batch, plain.slice(0, KEY)); } catch { throw new Untrusted("statement"); }
      if (!same(await sha256(token), records[place].slice(SEALED))) { throw new Untrusted("token"); }
      found.push({ statement, token: hex(token) });
    }
    onTried(records.length);
  }
  return found;
};

const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });
/** Fetch without cookies; waits where the exchange asks for patience. */
const get = async (path, signal) => {
  for (;;) {
    const response = await fetch(path, { credentials: "omit", signal });
    if (response.status === 429) { await pause(Number(response.headers.get("Retry-After")) || 5); continue; }
    if (!response.ok) { throw new Error(`answer ${response.status}`); }
    return response;
  }
};

/** Every batch published since a day (2026-11-21), as the exchange lists them. */
export const list = async (place, since, signal) => {
  const found = [];
  for (let next = `${place}?since=${since}`; next;) {
    const page = await (await get(next, signal)).json();
    found.push(...page.results);
    const url = page.next && new URL(page.next, location.origin);
    next = url && `${place}${url.search}`;
  }
  return found;
};

/** One listed batch: {ref, statement, records}. */
export const load = async (place, item, signal) => {
  const pieces = [];
  for (let number = 0; number < item.pieces; number += 1) {
    pieces.push(new Uint8Array(await (await get(`${place}${item.ref}/${number}/`, signal)).arrayBuffer()));
  }
  const sizes = pieces.map((piece) => new DataView(piece.buffer).getUint32(0));
  return {
    ref: item.ref,
    statement: pieces[0].slice(4, 4 + sizes[0]),
    records: join(...pieces.map((piece, number) => piece.slice(4 + sizes[number]))),
  };
};
