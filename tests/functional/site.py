"""The site as a person uses it: one object with the few things people do on every page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
SERIOUS = frozenset({"serious", "critical"})
# Wide content may scroll inside these, never the page itself.
_WIDER = """() => [...document.querySelectorAll('body *')].filter(e => {
  const r = e.getBoundingClientRect();
  return r.width && r.right > document.documentElement.clientWidth + 1
    && !e.closest('.table-responsive, pre, .hs-tree, .nav-tabs, .visually-hidden');
}).slice(0, 3).map(e => `${e.tagName}.${e.className}`)"""


@dataclass
class Site:
    """A browser window on a running exchange. `errors` and `outside` are what the console and the network told."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("request", self._see)
        self.page.on("dialog", lambda dialog: dialog.accept())

    @classmethod
    def open(cls, browser: Browser, url: str, *, width: int = 1280) -> "Site":
        """A new window with no cookies."""
        context = browser.new_context(viewport={"width": width, "height": 900}, locale="zh-CN", accept_downloads=True)
        return cls(context.new_page(), url)

    def go(self, path: str) -> "Site":
        self.page.goto(self.url + path)
        return self

    def sign_in(self, username: str, password: str) -> "Site":
        self.go("/accounts/login/")
        self.page.fill("input[name=login]", username)
        self.page.fill("input[name=password]", password)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url(lambda address: "/login/" not in address)
        return self

    def speak(self, language: str) -> "Site":
        """Switch the language by the button in the header, `zh-hans` or `en`."""
        with self.page.expect_navigation():
            self.page.evaluate("code => document.querySelector(`.hs-lang button[value='${code}']`).click()", language)
        return self

    def press(self, name: str) -> "Site":
        """Press the button of this name in the page's main part; questions are answered with yes."""
        self.page.get_by_role("main").get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_load_state()
        return self

    def fill(self, label: str, text: str) -> "Site":
        self.page.get_by_role("main").get_by_label(label).first.fill(text)
        return self

    def attach(self, selector: str, path: Path) -> "Site":
        self.page.set_input_files(selector, path)
        return self

    def heading(self) -> str:
        return self.page.locator("h1").first.inner_text()

    def text(self) -> str:
        return self.page.locator("main").inner_text()

    def state(self) -> str:
        """The code of the first state badge of the page."""
        return self.page.locator("main [data-state]").first.get_attribute("data-state") or ""

    def download(self, name: str, to: Path) -> Path:
        """Follow a link that answers with a file; returns where it was saved."""
        with self.page.expect_download() as waiting:
            self.page.get_by_role("link", name=name).click()
        waiting.value.save_as(to)
        return to

    def complaints(self, *, axe: bool = True) -> list[str]:
        """What is wrong with the page as it stands: serious axe findings, console errors, width, strangers."""
        found = [f"axe {rule}" for rule in _axe_rules(self.page)] if axe else []
        found += [f"console {text}" for text in self.errors]
        found += [f"outside {address}" for address in self.outside]
        found += [f"wider {name}" for name in self.page.evaluate(_WIDER)]
        self.errors.clear()
        self.outside.clear()
        return found

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "404 (Not Found)" not in message.text:
            self.errors.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.outside.append(request.url)


def _axe_rules(page: Page) -> list[str]:
    answer: dict[str, Any] = Axe().run(page).response
    return [
        f"{violation['id']}: {violation['nodes'][0]['html'][:160]}"
        for violation in answer["violations"]
        if violation["impact"] in SERIOUS
    ]
