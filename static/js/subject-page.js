// The data subject's page: reads the card, lets notices.js try every notice here, and lists the runs that it opens.
// The card never leaves this page. For each run `hengshu:run` is sent to the document, for what can be done about it.
import { belongs, generate, keyOf } from "./hpke.js";
import { CARD, Untrusted, list, load, openBatch } from "./notices.js";

const words = JSON.parse(document.getElementById("subject-words").textContent);
const chinese = document.documentElement.lang.startsWith("zh");
const form = document.getElementById("subject-form");
const input = document.getElementById("card-file");
const days = document.getElementById("notice-days");
const busy = document.getElementById("subject-busy");
const bar = busy.querySelector("progress"), tried = busy.querySelector("[data-tried]");
const output = document.getElementById("subject-result");
const announcer = document.getElementById("announcer");
let card = null, running = null;

const element = (name, css, content) => {
  const made = document.createElement(name);
  if (css) { made.className = css; }
  if (content !== undefined) { made.textContent = content; }
  return made;
};
const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
const named = (party) => party[chinese ? "name_zh" : "name_en"];
const say = (css, text) => {
  const note = element("div", css, text);
  note.setAttribute("role", "alert");
  output.replaceChildren(note);
};
const download = (name, value) => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
};
const hasX25519 = async () => { try { await generate(); return true; } catch { return false; } };

// --- one run --------------------------------------------------------------------------------------------------
const party = (found) => {
  const line = element("div", "mb-1", `${named(found)} `);
  for (const column of found.columns) { line.append(element("code", "me-1", column), " "); }
  return line;
};
const facts = (statement) => {
  const made = element("dl", "hs-list");
  const add = (name, ...values) => {
    const place = element("dd");
    place.append(...values);
    made.append(element("dt", "", name), place);
  };
  const { purpose } = statement;
  add(words.facts.operation, statement[chinese ? "title_zh" : "title_en"]);
  const scenario = purpose[chinese ? "scenario_zh" : "scenario_en"];
  add(words.facts.purpose, words.purposes[purpose.code] ?? purpose.code, ...(scenario ? [element("div", "text-secondary", scenario)] : []));
  add(words.facts.basis, words.bases[purpose.legal_basis] ?? purpose.legal_basis);
  add(words.facts.providers, ...statement.providers.map(party));
  if (statement.buyer.columns.length) { add(words.facts.own, party(statement.buyer)); }
  if (statement.model_version) { add(words.facts.model, statement.model_version); }
  add(words.facts.contract, statement.contract_number);
  add(words.facts.computation, element("code", "", statement.computation));
  return made;
};
const run = ({ statement, token }) => {
  const made = element("article", "card"), head = element("div", "card-header"), body = element("div", "card-body");
  const time = element("time", "text-secondary", new Date(statement.at).toLocaleString(chinese ? "zh-CN" : "en-GB", { dateStyle: "medium", timeStyle: "short" }));
  time.dateTime = statement.at;
  const title = element("h3", "card-title mb-0", named(statement.buyer));
  title.id = `run-${token.slice(0, 8)}`;
  made.setAttribute("aria-labelledby", title.id);
  made.dataset.computation = statement.computation;
  head.append(title, element("span", "ms-auto ps-3"));
  head.lastChild.append(time);
  const ways = element("p", "d-flex flex-wrap gap-2 mt-3 mb-0");
  const trace = element("a", "btn btn-outline-primary", words.trace);
  trace.href = form.dataset.trace.replace("REFERENCE", encodeURIComponent(statement.computation));
  const keep = element("button", "btn btn-outline-secondary", words.keep);
  keep.type = "button";
  keep.addEventListener("click", () => download(`notice-${statement.batch}.json`, statement));
  const more = element("div", "mt-3");
  ways.append(trace, keep);
  body.append(facts(statement), ways, more);
  made.append(head, body);
  return { made, tell: () => document.dispatchEvent(new CustomEvent("hengshu:run", { detail: { statement, token, card, element: more } })) };
};

// --- the search -------------------------------------------------------------------------------------------------
const show = (found, total, damaged, since) => {
  const title = found.length
    ? fill(words.found, { runs: found.length, notices: total, since })
    : fill(words.nothing, { notices: total, since });
  output.replaceChildren();
  if (damaged) { output.append(element("div", "alert alert-danger", fill(words.untrusted, { batches: damaged }))); }
  if (!found.length) {
    const empty = document.getElementById("subject-empty").content.cloneNode(true);
    empty.querySelector("[data-text]").textContent = title;
    output.append(empty);
  } else {
    const heading = element("h2", "h3 mt-4", title);
    heading.tabIndex = -1;
    output.append(heading);
    const runs = found.sort((a, b) => b.statement.at.localeCompare(a.statement.at)).map(run);
    output.append(...runs.map((one) => one.made));
    for (const one of runs) { one.tell(); }
    heading.focus({ preventScroll: true });
  }
  announcer.textContent = title;
  output.scrollIntoView({ block: "start" });
};
const search = async () => {
  running?.abort();
  const mine = running = new AbortController();
  const since = new Date(Date.now() - 86_400_000 * Number(days.value)).toISOString().slice(0, 10);
  const place = form.dataset.notices;
  output.replaceChildren();
  busy.hidden = false;
  bar.removeAttribute("value");
  tried.textContent = words.loading;
  try {
    const pair = await keyOf(card), items = await list(place, since, mine.signal);
    const total = items.reduce((sum, item) => sum + item.count, 0), found = [];
    let done = 0, damaged = 0;
    bar.max = Math.max(1, total);
    for (const item of items) {
      const batch = await load(place, item, mine.signal);
      const onTried = (count) => {
        done += count;
        bar.value = done;
        tried.textContent = fill(words.tried, { done, total });
      };
      try { found.push(...await openBatch(batch, pair, { onTried, signal: mine.signal })); }
      catch (error) { if (!(error instanceof Untrusted)) { throw error; } damaged += 1; }
    }
    if (running === mine) { show(found, total, damaged, since); }
  } catch (error) {
    if (error.name === "AbortError") { if (running === mine) { say("alert alert-info", words.stopped); } }
    else { say("alert alert-danger", words.unreachable); }
  } finally { if (running === mine) { busy.hidden = true; running = null; } }
};
const take = async (file) => {
  if (!file) { return; }
  if (!await hasX25519()) { say("alert alert-danger", words.unsupported); return; }
  try {
    if (file.size > 4096) { throw new Error("size"); }
    const value = JSON.parse(await file.text());
    if (value.type !== CARD || !await belongs(value)) { throw new Error("card"); }
    card = value;
  } catch { card = null; say("alert alert-danger", words.unreadable); return; }
  await search();
};

// --- a new card ---------------------------------------------------------------------------------------------------
const make = async () => {
  const place = document.getElementById("new-card");
  if (!await hasX25519()) { say("alert alert-danger", words.unsupported); return; }
  const made = await generate();
  const created = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  download("notice-card.json", { type: CARD, created, ...made });
  const code = place.querySelector("code"), copy = place.querySelector("[data-copy]");
  code.textContent = made.public_key;
  copy.dataset.copy = made.public_key;
  place.hidden = false;
  announcer.textContent = words.made;
};

form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("click", () => { input.value = ""; }); // so that the same file can be chosen again
input.addEventListener("change", () => take(input.files[0]));
days.addEventListener("change", () => { if (card) { search(); } });
busy.querySelector("button").addEventListener("click", () => running?.abort());
document.getElementById("make-card").addEventListener("click", make);
for (const name of ["dragenter", "dragover"]) {
  form.addEventListener(name, (event) => { event.preventDefault(); form.classList.add("is-over"); });
}
for (const name of ["dragleave", "drop"]) { form.addEventListener(name, () => form.classList.remove("is-over")); }
form.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
