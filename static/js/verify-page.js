// The verification page: takes the file, asks verify.js, and says the answers in the page's language.
import { accepted, hex, sha256, verify } from "./verify.js";

const words = JSON.parse(document.getElementById("verify-words").textContent);
const drop = document.getElementById("drop");
const input = document.getElementById("receipt-file");
const policyInput = document.getElementById("policy-file");
const output = document.getElementById("verify-result");
const picture = document.getElementById("verify-picture");
const POLICY = "hengshu/trust-policy/";
let kept = null, ownPolicy = null;

const element = (name, css, content) => {
  const made = document.createElement(name);
  if (css) { made.className = css; }
  if (content !== undefined) { made.textContent = content; }
  return made;
};

const loadPolicy = async () => {
  const own = policyInput.files[0];
  if (own) { return { policy: JSON.parse(await own.text()), own: true }; }
  if (ownPolicy) { return { policy: ownPolicy, own: true }; }
  const response = await fetch(drop.dataset.policy, { headers: { Accept: "application/json" } });
  if (!response.ok) { throw new Error("policy"); }
  return { policy: await response.json(), own: false };
};

const facts = (bundle, policy, fileHash) => {
  const list = element("dl", "hs-list mt-3");
  const add = (name, value) => { list.append(element("dt", "", name), element("dd", "", value)); };
  if (bundle) {
    add(words.facts.number, bundle.number);
    add(words.facts.computation, bundle.computation);
    add(words.facts.entries, String(bundle.entries.length));
    add(words.facts.charge, `¥${(bundle.charge.amount_fen / 100).toFixed(2)}`);
    if (bundle.anchor) { add(words.facts.anchor, `${words.facts.block} ${bundle.anchor.block_number} · chain ${bundle.anchor.chain_id}`); }
  }
  add(words.facts.key, policy.exchange_keys.at(-1).key);
  add(words.facts.hash, fileHash);
  return list;
};

const sentence = (check) => {
  const found = words.details[check.code] ?? (check.code ? `${words.code}: ${check.code}` : "");
  return found.replace(/\{(\w+)\}/g, (whole, name) => check.values?.[name] ?? whole);
};

/** From the entries to whoever holds the block: each link with the worst answer of its questions. */
const drawn = (checks) => {
  const made = picture.content.cloneNode(true);
  for (const link of made.querySelectorAll("[data-of]")) {
    const answers = link.dataset.of.split(" ").map((name) => checks.find((check) => check.name === name)?.status);
    link.dataset.status = ["FAIL", "NOT_CHECKED"].find((status) => answers.includes(status)) ?? "PASS";
    link.querySelector("[data-answer]").textContent = words.status[link.dataset.status];
  }
  return made;
};

const show = ({ checks, bundle, policy }, own, fileHash) => {
  const good = accepted(checks), failed = checks.some((check) => check.status === "FAIL");
  output.replaceChildren();
  const card = element("div", "card"), body = element("div", "card-body");
  const verdict = element("div", `alert alert-${good ? "success" : failed ? "danger" : "warning"}`);
  const head = element("h2", "h3 mb-1", good ? words.accepted : failed ? words.refused : words.partly);
  verdict.dataset.verdict = good ? "accepted" : failed ? "refused" : "partly";
  verdict.append(head, element("div", "", own ? words.policy_own : words.policy_served));
  const list = element("ul", "hs-checks");
  for (const check of checks) {
    const item = element("li"), right = element("div");
    item.dataset.check = check.name;
    item.dataset.status = check.status;
    const answer = element("span", "hs-answer");
    const tone = { PASS: "good", FAIL: "bad", NOT_CHECKED: "wait" }[check.status];
    answer.append(element("span", `badge hs-badge hs-${tone}`, words.status[check.status]));
    right.append(element("strong", "", words.names[check.name]));
    if (check.status === "NOT_CHECKED" && check.required) { right.append(element("span", "hs-demanded", words.required)); }
    const detail = sentence(check);
    if (detail) { right.append(element("p", "", detail)); }
    item.append(answer, right);
    list.append(item);
  }
  body.append(verdict, drawn(checks), list, facts(bundle, policy, fileHash));
  if (bundle?.anchor && (policy.chain?.development || [31337, 1337].includes(bundle.anchor.chain_id))) {
    body.append(element("p", "hs-note mt-3 mb-0", words.development_chain));
  }
  card.append(body);
  output.append(card);
  document.getElementById("announcer").textContent = head.textContent;
  output.scrollIntoView({ block: "start" });
};

const judge = async (file) => {
  output.setAttribute("aria-busy", "true");
  try {
    if (file.size > 4 * 1024 * 1024) { throw new Error("size"); }
    const bytes = new Uint8Array(await file.arrayBuffer());
    const { policy, own } = await loadPolicy();
    show(await verify(bytes, policy), own, hex(await sha256(bytes)));
  } catch {
    output.replaceChildren(element("div", "alert alert-danger", words.unreadable));
  } finally { output.removeAttribute("aria-busy"); }
};

/** A dropped trust policy is kept for the receipts that follow; anything else is taken for a receipt. */
const policyIn = async (file) => {
  try { const value = JSON.parse(await file.text()); return String(value?.type).startsWith(POLICY) ? value : null; }
  catch { return null; }
};
const take = async (file) => {
  if (!file) { return; }
  const policy = file.size < 1024 * 1024 ? await policyIn(file) : null;
  if (policy) { ownPolicy = policy; } else { kept = file; }
  if (kept) { await judge(kept); } else { output.replaceChildren(element("div", "alert alert-info", words.policy_taken)); }
};
input.addEventListener("change", () => take(input.files[0]));
policyInput.addEventListener("change", () => take(kept));
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("is-over"); });
}
for (const name of ["dragleave", "drop"]) { drop.addEventListener(name, () => drop.classList.remove("is-over")); }
drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
