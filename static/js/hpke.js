// HPKE base mode (RFC 9180): X25519 and AES-256-GCM by WebCrypto, HKDF-SHA256 by noble, whose answer does not have to be
// awaited: thousands of texts are tried. What compute/protocol/notices.py seals is opened here, on the person's own
// device. A sealed text is the ephemeral key, 32 bytes, then ciphertext and tag.
import { hmac as hmacOf } from "../vendor/noble-hashes/hmac.js";
import { sha256 as hash } from "../vendor/noble-hashes/sha2.js";
import { hex, join, unhex, utf8 } from "./verify-core.js";

const KEM = new Uint8Array([...utf8.encode("KEM"), 0, 0x20]);
const SUITE = new Uint8Array([...utf8.encode("HPKE"), 0, 0x20, 0, 1, 0, 2]);
const PKCS8 = unhex("302e020100300506032b656e04220420");
const VERSION = utf8.encode("HPKE-v1");
const EMPTY = new Uint8Array(0);
const X25519 = { name: "X25519" };

const hmac = (key, message) => hmacOf(hash, key, message);
const extract = (suite, salt, label, secret) => hmac(salt, join(VERSION, suite, utf8.encode(label), secret));
/** Up to 32 bytes, so one block of HKDF-Expand. */
const expand = (suite, secret, label, info, size) => {
  const labelled = join(new Uint8Array([size >> 8, size & 255]), VERSION, suite, utf8.encode(label), info);
  return hmac(secret, join(labelled, new Uint8Array([1]))).slice(0, size);
};
const shared = async (privateKey, publicRaw, kemContext) => {
  const other = await crypto.subtle.importKey("raw", publicRaw, X25519, false, []);
  const secret = new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: other }, privateKey, 256));
  return expand(KEM, extract(KEM, EMPTY, "eae_prk", secret), "shared_secret", kemContext, 32);
};
const aead = async (sharedSecret, context, use) => {
  const secret = extract(SUITE, sharedSecret, "secret", EMPTY);
  const key = expand(SUITE, secret, "key", context, 32), iv = expand(SUITE, secret, "base_nonce", context, 12);
  return { iv, key: await crypto.subtle.importKey("raw", key, "AES-GCM", false, [use]) };
};

/** The part of the key schedule that depends on `info` alone; make it once for many texts. */
export const contextOf = (info) => join(
  new Uint8Array([0]), extract(SUITE, EMPTY, "psk_id_hash", EMPTY), extract(SUITE, EMPTY, "info_hash", info),
);

/** The key pair of a card, whose halves are 64 hex digits; throws where this browser has no X25519. */
export const keyOf = async (card) => ({
  privateKey: await crypto.subtle.importKey("pkcs8", join(PKCS8, unhex(card.private_key)), X25519, true, ["deriveBits"]),
  publicRaw: unhex(card.public_key),
});

/** A fresh pair as hex: {public_key, private_key}. */
export const generate = async () => {
  const made = await crypto.subtle.generateKey(X25519, true, ["deriveBits"]);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", made.privateKey));
  return { public_key: hex(new Uint8Array(await crypto.subtle.exportKey("raw", made.publicKey))), private_key: hex(pkcs8.slice(-32)) };
};

/** Whether both halves of a card belong together. */
export const belongs = async (card) => {
  const { privateKey } = await keyOf(card);
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  const raw = Uint8Array.from(atob(x.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  return hex(raw) === card.public_key;
};

/** Open with a context made by `contextOf`; null where the text was not sealed to this key. */
export const tryOpen = async (sealed, pair, context) => {
  const ephemeral = sealed.slice(0, 32);
  try {
    const secret = await shared(pair.privateKey, ephemeral, join(ephemeral, pair.publicRaw));
    const { key, iv } = await aead(secret, context, "decrypt");
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed.slice(32)));
  } catch { return null; }
};

/** Open one text; null where it was not sealed to this key under this info. */
export const open = async (sealed, pair, info) => tryOpen(sealed, pair, contextOf(info));

/** Seal to a public key of 32 bytes. */
export const seal = async (plaintext, recipient, info) => {
  const ephemeral = await crypto.subtle.generateKey(X25519, false, ["deriveBits"]);
  const enc = new Uint8Array(await crypto.subtle.exportKey("raw", ephemeral.publicKey));
  const secret = await shared(ephemeral.privateKey, recipient, join(enc, recipient));
  const { key, iv } = await aead(secret, contextOf(info), "encrypt");
  return join(enc, new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, plaintext)));
};
