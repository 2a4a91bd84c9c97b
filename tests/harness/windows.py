"""Windows of a real browser on the console. What no window may ever do is watched from its first request on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

DESKTOP: dict[str, Any] = {"viewport": {"width": 1400, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 800},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}

_WATCH_POLICY = "addEventListener('securitypolicyviolation', (event) => console.error('policy: ' + event.blockedURI));"

_HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""

_TOO_WIDE = """(() => {
    const scrolls = (node) =>
        node !== document.body && (getComputedStyle(node).overflowX !== 'visible' || scrolls(node.parentElement));
    return [...document.querySelectorAll('body *')]
        .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !scrolls(node.parentElement))
        .map((node) => `too wide: ${node.id || node.className}`);
})()"""


class Window:
    """One window, and everything wrong that it did."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.wrongs: list[str] = []
        self._ordered: tuple[str, ...] = ()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrongs.append(f"error: {error}"))
        page.on("request", self._asked)
        page.clock.install()
        page.add_init_script(_WATCH_POLICY)

    def open(self, session_id: str | None = None) -> Window:
        self.page.goto(f"{self.url}/#session={session_id}" if session_id else f"{self.url}/")
        return self

    def expects(self, *failures: str) -> Window:
        """Chromium writes a line of its own about each answer that fails; these are what the test is about."""
        self._ordered = failures
        return self

    def _heard(self, message: ConsoleMessage) -> None:
        ordered = message.text.startswith("Failed to load resource") and any(f in message.text for f in self._ordered)
        if message.type in ("error", "warning") and not ordered:
            self.wrongs.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.wrongs.append(f"asked elsewhere: {request.url}")

    # --- What a person sees ----------------------------------------------------------------------------------

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def message(self) -> Locator:
        return self.page.locator("#message")

    @property
    def dialog(self) -> Locator:
        return self.page.locator("dialog[open]")

    def row(self, session_id: str) -> Locator:
        """The session's line in the list."""
        return self.page.locator("#sessions a", has=self.page.locator(".row-name", has_text=exactly(session_id)))

    def rows(self) -> Locator:
        return self.page.locator("#sessions .row-name")

    def part(self, name: str) -> Locator:
        """A titled part of the page, such as the details' Data."""
        return self.page.get_by_role("region", name=name, exact=True)

    def said(self, role: str) -> Locator:
        """The texts of the conversation by one who speaks."""
        return self.page.locator(f".item[data-role={role}] .text")

    # --- What a person does ----------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        self.message.fill(text)
        self.button("Send").click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def hide(self, hidden: bool = True) -> None:
        """Another tab is looked at, or this one again."""
        self.page.evaluate(_HIDE, hidden)

    def later(self, seconds: float) -> None:
        """Lets the page's own clock, and nobody else's, run ahead."""
        self.page.clock.fast_forward(int(seconds * 1000))

    def sees(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_text(text).locator("visible=true").first).to_be_visible()

    def run(self, module: str, expression: str, *arguments: object) -> Any:
        """What a module of the page answers: `expression` is a function of the module and the arguments."""
        script = f"""async ([name, ...rest]) => {{
            const base = document.querySelector('script[type=module]').src.replace('app.js', '');
            return ({expression})(await import(base + name), ...rest);
        }}"""
        return self.page.evaluate(script, [module, *arguments])

    # --- What an accessibility checker says ------------------------------------------------------------------

    def violations(self) -> list[str]:
        """In light and, where only the colours differ, in dark."""
        found = []
        for scheme, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            self.page.emulate_media(color_scheme=scheme)
            for each in Axe().run(self.page, options={"resultTypes": ["violations"], **options}).response["violations"]:
                found.append(f"{scheme}: {each['id']}: {[node['html'][:160] for node in each['nodes']]}")
        return found

    def too_wide(self) -> list[str]:
        """What reaches beyond the window, though one cannot scroll there."""
        found: list[str] = self.page.evaluate(_TOO_WIDE)
        return found


class Windows:
    """Opens windows that do not know of each other, as those of two people do."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []
        self.all: list[Window] = []

    def open(self, session_id: str | None = None, **options: Any) -> Window:
        return self.blank(**options).open(session_id)

    def blank(self, **options: Any) -> Window:
        context = self._browser.new_context(reduced_motion="reduce", **{**DESKTOP, **options})
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        return self._watched(context.new_page())

    def beside(self, window: Window, session_id: str | None = None) -> Window:
        """A second window of the same browser."""
        return self._watched(window.page.context.new_page()).open(session_id)

    def _watched(self, page: Page) -> Window:
        window = Window(page, self._url)
        self.all.append(window)
        return window

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@contextmanager
def open_windows(browser: Browser, url: str) -> Iterator[Windows]:
    windows = Windows(browser, url)
    try:
        yield windows
        wrongs = [wrong for window in windows.all for wrong in window.wrongs]
        assert not wrongs, wrongs
    finally:
        windows.close()


def exactly(text: str) -> re.Pattern[str]:
    return re.compile(f"^{re.escape(text)}$")
