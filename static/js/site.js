// Small behaviour every page shares: menu, copy buttons, tabs, questions before an action, charts.
(() => {
  "use strict";
  const announce = (text) => {
    const place = document.getElementById("announcer");
    if (place) { place.textContent = ""; window.setTimeout(() => { place.textContent = text; }, 50); }
  };

  const copyText = async (text) => {
    try { await navigator.clipboard.writeText(text); return true; } catch {
      const area = document.createElement("textarea");
      area.value = text; area.className = "visually-hidden"; document.body.append(area); area.select();
      const done = document.execCommand("copy"); area.remove(); return done;
    }
  };

  document.addEventListener("click", async (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const toggle = target?.closest("[data-toggle-nav]");
    if (toggle) {
      const nav = document.getElementById(toggle.getAttribute("aria-controls"));
      const open = nav.classList.toggle("is-open");
      toggle.setAttribute("aria-expanded", String(open));
      return;
    }
    const copy = target?.closest("[data-copy]");
    if (copy && await copyText(copy.dataset.copy)) {
      copy.classList.add("is-done");
      announce(document.documentElement.lang.startsWith("zh") ? "已复制" : "Copied");
      window.setTimeout(() => copy.classList.remove("is-done"), 1500);
      return;
    }
    const print = target?.closest("[data-print]");
    if (print) { window.print(); }
  });

  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    const question = button?.dataset.confirm || event.target.dataset.confirm;
    if (question && !window.confirm(question)) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);

  // Facets and language-free selects send their form at once.
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-autosubmit]");
    if (form && !event.target.matches("[type=search], [type=text]")) { form.requestSubmit(); }
  });

  // Tabs after the ARIA pattern: arrow keys move, the address keeps the place.
  const showTab = (tab, focus) => {
    const list = tab.closest("[role=tablist]");
    for (const other of list.querySelectorAll("[role=tab]")) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.classList.toggle("active", chosen);
      other.tabIndex = chosen ? 0 : -1;
      const panel = document.getElementById(other.getAttribute("aria-controls"));
      if (panel) { panel.hidden = !chosen; }
    }
    if (focus) { tab.focus(); }
    drawCharts(document);
  };
  const prepareTabs = (root) => {
    for (const list of root.querySelectorAll("[role=tablist]")) {
      const tabs = [...list.querySelectorAll("[role=tab]")];
      for (const tab of tabs) {
        tab.addEventListener("click", () => { showTab(tab, false); history.replaceState(null, "", `#${tab.id}`); });
        tab.addEventListener("keydown", (event) => {
          const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (step) { event.preventDefault(); showTab(tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length], true); }
        });
      }
      const wanted = tabs.find((tab) => `#${tab.id}` === window.location.hash);
      if (wanted) { showTab(wanted, false); }
    }
  };

  const drawCharts = (root) => { if (window.hengshuCharts) { window.hengshuCharts.draw(root); } };
  document.addEventListener("DOMContentLoaded", () => { prepareTabs(document); drawCharts(document); });
  document.addEventListener("htmx:afterSwap", (event) => {
    drawCharts(event.target);
    const news = event.target.querySelector?.("[data-announce]");
    if (news && news.dataset.announce !== event.target.dataset.last) {
      event.target.dataset.last = news.dataset.announce;
      announce(news.dataset.announce);
    }
  });
})();
