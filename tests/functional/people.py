"""The people of the walk: each in a window of their own, each member with its own machine beside it."""

import json
import re
import shlex
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from exchange.runner.story import Story
from exchange.runner.world import PASSWORD, member
from tests.functional.site import Site

WAIT_MILLISECONDS = 60_000
_CJK = re.compile(r"[\u3400-\u9fff]")
# What stays as it is in either language: names of tools, standards and codes, and the other language's own name.
_NEUTRAL = re.compile(
    r"hengshu|json|sha|ed25519|eddsa|secp256k1|x25519|hpke|did:key|urn:|https?:|cny|uscc|kafka|api|csv|"
    r"english|bank|reviewer|clerk|fund-|social|registrar|listing|auditor|admission|[A-Z]{2,}-|PIPL|GB/T|ABY3|P\d+",
    re.IGNORECASE,
)
_CHROME = """() => [...document.querySelectorAll(
  'main :is(h1,h2,h3,dt,th,label,legend,button,summary,caption,.btn,.badge,.hs-when,.form-hint), '
  + 'header :is(a, button), footer :is(a, p)'
)].filter(e => e.getClientRects().length && !e.closest('[lang]:not(html), [translate=no]'))
  .map(e => [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join(' ').trim()).filter(Boolean)"""


@dataclass
class People:
    """Everybody of a told story at their browsers and command lines."""

    story: Story
    browser: Browser
    _windows: dict[str, Site] = field(default_factory=dict)

    def at(self, username: str = "") -> Site:
        """The window of this person, signed in; of a visitor without a name."""
        if username not in self._windows:
            site = Site.open(self.browser, self.story.stack.url)
            site.page.set_default_timeout(WAIT_MILLISECONDS)
            self._windows[username] = site.sign_in(username, PASSWORD) if username else site
        return self._windows[username]

    def close(self) -> None:
        for site in self._windows.values():
            site.page.context.close()

    def run(self, code: str, command: str, *more: str) -> Any:
        """Run a command as a page shows it, on this member's own machine; the JSON it prints."""
        tool, *words = shlex.split(command)
        if tool == "hengshu":
            return self.story.parties.cli(member(code), *words, *more)
        assert tool == "hengshu-node"
        assert words[:2] == ["--home", "DIR"]
        return self.story.parties.node_cli(member(code), *words[2:], *more)

    def start(self, code: str, command: str) -> Future[Any]:
        """Run a command that lasts, such as one that watches a computation; its JSON comes when it ends."""
        with_own_thread = ThreadPoolExecutor(max_workers=1)
        try:
            return with_own_thread.submit(self.run, code, command)
        finally:
            with_own_thread.shutdown(wait=False)

    def place(self, code: str, name: str) -> Path:
        """A file on this member's own machine."""
        return self.story.stack.member(code) / name


def commands(site: Site) -> list[str]:
    """The commands the page shows, in order."""
    return [text.strip() for text in site.page.locator("main .hs-code code").all_inner_texts()]


def reload_until_link(site: Site, path: str, text: str) -> str:
    """Load a list again until its newest row holds the text; returns where the row's first link leads."""
    deadline = time.monotonic() + WAIT_MILLISECONDS / 1000
    while time.monotonic() < deadline:
        row = site.go(path).page.locator("main tbody tr").first
        if text in row.inner_text():
            return str(row.locator("a").first.get_attribute("href"))
    raise AssertionError(f"{path} never showed {text}")


def drop(site: Site, selector: str, path: Path) -> None:
    """Drop a file on a part of the page, as from the desktop."""
    files = site.page.evaluate_handle(
        """text => { const data = new DataTransfer();
          data.items.add(new File([text], "receipt.json", { type: "application/json" })); return data; }""",
        path.read_text(encoding="utf-8"),
    )
    site.page.dispatch_event(selector, "drop", {"dataTransfer": files})


def untranslated(site: Site) -> list[str]:
    """Words of the page's own furniture that are in the other language; content in data may be in either."""
    language = site.page.get_attribute("html", "lang") or ""
    texts: list[str] = site.page.evaluate(_CHROME)
    if language.startswith("zh"):
        return [text for text in texts if re.search(r"[a-z]{3}", _NEUTRAL.sub("", text)) and not _CJK.search(text)]
    return [text for text in texts if _CJK.search(text)]


def change_one_byte(source: Path, target: Path) -> Path:
    """A copy that says one fen more."""
    whole = bytearray(source.read_bytes())
    charge = json.loads(whole)["charge"]["amount_fen"]
    place = whole.rindex(str(charge).encode())
    whole[place] = whole[place] + 1
    target.write_bytes(whole)
    return target
