"""The README's pictures of the console, taken of a real gateway in a real browser: `python3 dev.py screenshots`.

They look as they do there with the typeface Inter (Debian: fonts-inter); without it the system's own is used.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.harness.gateways import GatewayProcess

PICTURES = Path(__file__).parent / "pictures"
SAMPLES = 60  # as many as the strip keeps

WORKOUT = """Here is one for the **whole body**, some 25 minutes, without any equipment:

| Exercise | Sets | Repetitions |
|---|---|---|
| Squats | 3 | 10 |
| Push-ups, on the knees if you like | 3 | 6 |
| Glute bridges | 3 | 12 |
| Plank | 2 | 20 s |

Rest a minute between sets. Stop where it *hurts*, not where it burns."""

HOW_OFTEN = """**Three times a week**, with a day off in between:

1. Monday, Wednesday, Friday is easy to remember.
2. After two weeks add one repetition to each set.
3. After six weeks come back here, and we make it harder."""

WIND = """Hardly a drop (0.2 mm), but **31 km/h of wind**. Run along the river *eastwards* first, so that the wind is in
your face while you are fresh."""

REPLIES = {
    "Give me a beginner workout": WORKOUT,
    "How many times per week should I do it?": HOW_OFTEN,
    "Is it too wet to run in Lisbon tonight?": {"name": "weather", "arguments": '{"city": "Lisbon", "hour": 19}'},
    '{"rain_mm": 0.2, "wind_kmh": 31, "temperature_c": 14}': WIND,
}

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}

OTHERS = [
    ("+351-912-555-010", "carla", "completed"),
    ("slack:C024BE91L:1761472800", "dora", "active"),
    ("support-2291", "emil", "abandoned"),
    ("visitor_7f21", None, "active"),
    ("tab-9d1c", None, "active"),
]


class Model(BaseHTTPRequestHandler):
    """A model behind the local provider: it knows a few answers, and takes as long as a real one might."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = body["messages"][-1]["content"]
        said = said if isinstance(said, str) else "".join(part["text"] for part in said)
        reply = REPLIES.get(said, "Certainly. " * 12)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        chance = random.Random(said)
        time.sleep(chance.lognormvariate(-1.6, 0.5))
        if isinstance(reply, dict):
            call = {"index": 0, "id": "call_1", "type": "function", "function": reply}
            self._send({"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"})
        else:
            for word in re.findall(r"\S+\s*", reply):
                time.sleep(chance.uniform(0.002, 0.02))
                self._send({"delta": {"content": word}})
            self._send({"delta": {}, "finish_reason": "stop"})
        tokens = {"prompt_tokens": len(str(body["messages"])) // 4, "completion_tokens": len(str(reply)) // 4}
        self._send(None, usage={**tokens, "total_tokens": sum(tokens.values())})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, choice: dict[str, Any] | None, **more: Any) -> None:
        choices = [{"index": 0, **choice}] if choice else []
        chunk = {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "demo",
            "choices": choices,
            **more,
        }
        self.wfile.write(b"data: %b\n\n" % json.dumps(chunk).encode())

    def log_message(self, *args: Any) -> None:
        pass


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("screenshots: a Chromium is needed, install with: apt-get install chromium", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    Thread(target=model.serve_forever, daemon=True).start()
    settings = {
        "GATEWAY_LOCAL_MODEL_URL": f"http://127.0.0.1:{model.server_port}/v1",
        "GATEWAY_LOCAL_MODEL_API": "chat",
        "GATEWAY_MODEL": "demo",
    }
    with GatewayProcess(**settings) as gateway, sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        fill(gateway)
        desktop = open_page(browser, gateway, "alice:workout", viewport={"width": 1440, "height": 900})
        live(gateway, desktop)
        take(desktop, "console-light")
        desktop.emulate_media(color_scheme="dark")
        show(desktop, gateway, "bob:running")
        take(desktop, "console-dark")
        phone = open_page(
            browser,
            gateway,
            "alice:workout",
            viewport={"width": 390, "height": 780},
            is_mobile=True,
            has_touch=True,
            device_scale_factor=2,
        )
        take(phone, "console-phone")
        browser.close()
    return 0


def fill(gateway: GatewayProcess) -> None:
    for session_id, user_id, status in OTHERS:
        gateway.say(session_id, "Hello", user_id=user_id)
        requests.patch(f"{gateway.url}/sessions/{session_id}", json={"status": status}, timeout=10).raise_for_status()
    gateway.post("/sessions", {"session_id": "bob:running", "user_id": "bob", "data": {"city": "Lisbon", "km": 8}})
    question, output = list(REPLIES)[2:]
    asked = {"model": "demo", "conversation": "bob:running", "tools": [WEATHER]}
    said = gateway.post("/v1/responses", {**asked, "input": question}).json()
    call_id = said["output"][-1]["call_id"]
    gateway.post(
        "/v1/responses",
        {**asked, "input": [{"type": "function_call_output", "call_id": call_id, "output": output}]},
    ).raise_for_status()
    data = {"plan": "beginner", "days": 3}
    for text in list(REPLIES)[:2]:
        gateway.say("alice:workout", text, user_id="alice", data=data)


def live(gateway: GatewayProcess, page: Page) -> None:
    """Some minutes of the page's time in seconds of ours, with turns all the while."""
    chance = random.Random(3)
    names = [name for name, _, _ in OTHERS]
    with ThreadPoolExecutor(len(names)) as clients:
        for sample in range(SAMPLES):
            some = chance.sample(names, chance.choice([1, 1, 2, 3]))
            turns = [clients.submit(turn, gateway, name, f"Message {sample}") for name in some]
            time.sleep(0.25)
            page.clock.fast_forward(5000)
            page.wait_for_load_state("networkidle")
            for each in turns:
                each.result()


def turn(gateway: GatewayProcess, session_id: str, text: str) -> None:
    with gateway.stream(session_id, text) as events:
        assert [name for name, _ in events][-1] == "done"


def open_page(browser: Browser, gateway: GatewayProcess, session_id: str, **options: Any) -> Page:
    context = browser.new_context(color_scheme="light", reduced_motion="reduce", locale="en-GB", **options)
    page = context.new_page()
    page.clock.install()
    show(page, gateway, session_id)
    return page


def show(page: Page, gateway: GatewayProcess, session_id: str) -> None:
    page.goto(f"{gateway.url}/#session={session_id}")
    expect(page.locator("#history .message")).not_to_have_count(0)
    page.get_by_label("Message to").blur()


def take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path} ({path.stat().st_size // 1024} KiB)")


if __name__ == "__main__":
    sys.exit(main())
