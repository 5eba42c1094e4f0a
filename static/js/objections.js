// Objections of a data subject against a listed run: sealed in this browser to one provider, answered to the card alone.
// The twin of compute/protocol/objections.py. Listens for `hengshu:run` (subject-page.js), whose detail has the opened
// notice's `statement` and `token` (32 hex digits), the `card`, and the `element` of the run in the page.
import { keyOf, open, seal } from "./hpke.js";
import { canonical, checkSignatures, fail, hex, isObject, must, parseCanonical, sha256, unbase64, unhex, utf8 } from "./verify-core.js";

const OBJECTION = "hengshu/objection/v1", ANSWER = "hengshu/objection-answer/v1";
const SUITE = "HPKE-X25519-HKDF-SHA256-AES-256-GCM/v1";
const BUCKETS = [2048, 16384], MAX_TEXT = 2000;
const TONES = { filed: "hs-wait", marked: "hs-wait", answered: "hs-good" };

// --- documents --------------------------------------------------------------------------------------------
const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const unurl = (text) => unbase64(`${text.replaceAll("-", "+").replaceAll("_", "/")}=`, "KEY_INVALID");
const infoOf = (kind, tokenDigest, place) => utf8.encode(canonical({ type: kind, suite: SUITE, token_digest: tokenDigest, ...place }));
export const tokenDigest = async (token) => hex(await sha256(unhex(token, "TOKEN_INVALID")));

const framed = (document) => {
  const data = utf8.encode(canonical(document)), size = BUCKETS.find((bucket) => data.length + 4 <= bucket);
  must(size, "TOO_LONG");
  const plain = new Uint8Array(size);
  new DataView(plain.buffer).setUint32(0, data.length);
  plain.set(data, 4);
  return plain;
};
const unframed = (plain) => {
  const size = new DataView(plain.buffer, plain.byteOffset).getUint32(0);
  must(size <= plain.length - 4 && plain.slice(4 + size).every((byte) => byte === 0), "SEAL_INVALID");
  return parseCanonical(plain.slice(4, 4 + size), BUCKETS[1]);
};

/** An objection, sealed to the provider's key from the notice: base64. */
export const sealObjection = async ({ statement, token, card, provider, identifier, disputed, now = new Date() }) => {
  const document = {
    type: OBJECTION, computation: statement.computation, organization: provider.organization, identifier, disputed,
    answer_key: card.public_key, created: `${now.toISOString().slice(0, 19)}Z`,
  };
  const info = infoOf("hengshu/sealed-objection/v1", await tokenDigest(token), { organization: provider.organization });
  return base64(await seal(framed(document), unurl(provider.sealing_key), info));
};

/** The provider's answer, opened with the card and checked against its key in the notice; throws otherwise. */
export const openAnswer = async ({ sealed, objection, token, card, provider }) => {
  const info = infoOf("hengshu/sealed-objection-answer/v1", await tokenDigest(token), { objection });
  const plain = await open(unbase64(sealed, "ENCODING_INVALID"), await keyOf(card), info);
  must(plain, "SEAL_INVALID");
  const document = unframed(plain);
  must(isObject(document) && document.type === ANSWER && document.objection === objection, "SEAL_INVALID");
  must(document.organization === provider.organization && ["corrected", "upheld"].includes(document.outcome), "SEAL_INVALID");
  await checkSignatures(document, [provider.document_key]);
  return document;
};

// --- the page -----------------------------------------------------------------------------------------------
const isChinese = () => document.documentElement.lang.startsWith("zh");
const nameOf = (party) => (isChinese() ? party.name_zh : party.name_en) || party.name_zh;
const word = (name) => document.getElementById("objection-words").content.querySelector(`[data-word="${name}"]`).textContent;

const post = async (address, body) => {
  const response = await fetch(address, {
    method: "POST", credentials: "omit", body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", Accept: "application/json", "Accept-Language": document.documentElement.lang },
  });
  const answer = await response.json();
  if (!response.ok) { throw new Error(answer.detail ?? word("offline")); }
  return answer;
};

const line = async (item, run) => {
  const made = document.getElementById("objection-line").content.cloneNode(true), put = (name) => made.querySelector(`[data-${name}]`);
  const provider = run.statement.providers.find((one) => one.organization === item.organization) ?? fail("PROVIDER_UNKNOWN");
  put("provider").textContent = nameOf(provider);
  put("state").textContent = word(item.state);
  put("state").classList.add(TONES[item.state]);
  put("overdue").hidden = !item.is_overdue;
  if (!item.sealed_answer) { put("due").textContent = `${word("by")} ${item.last_day}`; return made; }
  put("text").hidden = false;
  try {
    const answer = await openAnswer({ sealed: item.sealed_answer, objection: item.urn, token: run.token, card: run.card, provider });
    put("due").textContent = word(answer.outcome);
    put("text").textContent = answer.text;
  } catch { put("text").textContent = word("untrusted"); }
  return made;
};

const refresh = async (section, run, address) => {
  const found = await post(address, { token: run.token });
  section.querySelector("[data-list]").replaceChildren(...await Promise.all(found.map((item) => line(item, run))));
  const objected = new Set(found.map((item) => item.organization));
  const select = section.querySelector("[name=provider]");
  select.replaceChildren(...run.statement.providers.filter((one) => !objected.has(one.organization)).map((one) => new Option(nameOf(one), one.organization)));
  section.querySelector("form").hidden = !select.options.length;
};

/** Put a run's objections and the form for another one at the end of the run's element; nothing is asked for until they
 * are opened, because asking tells the exchange which run is looked at. */
export const attach = (run) => {
  const template = document.getElementById("objection-form"), section = template.content.cloneNode(true).querySelector("section");
  const form = section.querySelector("form"), said = section.querySelector("[data-said]");
  const { file, status } = template.dataset;
  run.element.append(section);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(["provider", "identifier", "disputed"].map((name) => [name, form.elements[name].value.trim()]));
    if (!Object.values(given).every(Boolean) || given.disputed.length > MAX_TEXT) { said.textContent = word("incomplete"); return; }
    const button = form.querySelector("button");
    button.disabled = true; said.textContent = word("working");
    try {
      const provider = run.statement.providers.find((one) => one.organization === given.provider);
      const sealed = await sealObjection({ ...run, provider, identifier: given.identifier, disputed: given.disputed });
      await post(file, { token: run.token, organization: provider.organization, sealed });
      form.reset();
      await refresh(section, run, status);
      said.textContent = word("done");
    } catch (error) { said.textContent = error instanceof TypeError ? word("offline") : error.message; }
    button.disabled = false;
  });
  section.querySelector("details").addEventListener("toggle", async (event) => {
    if (!event.target.open) { return; }
    try { await refresh(section, run, status); } catch { said.textContent = word("offline"); }
  });
};

if (typeof document !== "undefined") { document.addEventListener("hengshu:run", (event) => { attach(event.detail); }); }
