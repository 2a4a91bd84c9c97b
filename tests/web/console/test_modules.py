"""The console's pure modules, run in the browser: how Markdown is read, and what is made of the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from gateway.sessions import open_sessions
from tests.harness.app import House, open_provider
from tests.harness.windows import Windows, open_windows


@pytest.fixture
def windows(browser: Browser, tmp_path: Path) -> Iterator[Windows]:
    """On a gateway in this process: the modules need no more than to be served."""
    house = House(open_sessions("memory:"), open_provider(None, tmp_path))
    server = make_server("127.0.0.1", 0, house.app, threaded=True)
    Thread(target=server.serve_forever).start()
    try:
        with open_windows(browser, f"http://127.0.0.1:{server.port}") as opened:
            yield opened
    finally:
        server.shutdown()
        house.close()


RENDER = """({ renderMarkdown }, text) => {
    const [at_once, word_by_word] = [0, 1].map(() => document.createElement('div'));
    for (let end = 1; end < text.length; end++) renderMarkdown(word_by_word, text.slice(0, end));
    for (const node of [at_once, word_by_word]) renderMarkdown(node, text);
    return [at_once.innerHTML, word_by_word.innerHTML];
}"""

LINK = 'target="_blank" rel="noopener noreferrer"'

MARKDOWN = {
    "plain\nwords": "<p>plain\nwords</p>",
    "one\n\ntwo": "<p>one</p><p>two</p>",
    "**bold** and *em* and `co*de*`": "<p><strong>bold</strong> and <em>em</em> and <code>co*de*</code></p>",
    "``a ` b`` and ``` and `c`": "<p><code>a ` b</code> and ``` and <code>c</code></p>",
    "snake_case_name 2 * 3 * 4": "<p>snake_case_name 2 * 3 * 4</p>",
    "~~gone~~ \\*kept\\*": "<p><s>gone</s> *kept*</p>",
    "## Title": '<p class="heading" role="heading" aria-level="4">Title</p>',
    "- one\n- two\n  - inner": "<ul><li>one</li><li>two<ul><li>inner</li></ul></li></ul>",
    "3. three\n4. four": '<ol start="3"><li>three</li><li>four</li></ol>',
    "1. one\n\n   more\n\n2. two": '<ol start="1"><li>one<p>more</p></li><li>two</li></ol>',
    "> said\n> before": "<blockquote><p>said\nbefore</p></blockquote>",
    "```py\na < b\n```\nafter": '<pre tabindex="0"><code data-language="py">a &lt; b</code></pre><p>after</p>',
    "````\n```\n````": '<pre tabindex="0"><code>```</code></pre>',
    "```\nnever closed": '<pre tabindex="0"><code>never closed</code></pre>',
    "---": "<hr>",
    "[x](https://a.example/b)": f'<p><a href="https://a.example/b" {LINK}>x</a></p>',
    "see https://a.example/b.": f'<p>see <a href="https://a.example/b" {LINK}>https://a.example/b</a>.</p>',
    "[x](javascript:alert)": "<p>[x](javascript:alert)</p>",
    "<b>no</b>": "<p>&lt;b&gt;no&lt;/b&gt;</p>",
    "| a | b |\n|---|---|\n| 1 | 2 |": (
        '<div class="table" tabindex="0"><table><thead><tr><th>a</th><th>b</th></tr></thead>'
        "<tbody><tr><td>1</td><td>2</td></tr></tbody></table></div>"
    ),
}


def test_markdown_becomes_nodes_also_word_by_word(windows: Windows):
    window = windows.open()
    for text, nodes in MARKDOWN.items():
        assert window.run("markdown.js", RENDER, text) == [nodes, nodes], text


HISTOGRAM = """# HELP turn_seconds Whole turns.
# TYPE turn_seconds histogram
turn_seconds_bucket{le="0.5",workflow="default"} 2.0
turn_seconds_bucket{le="1.0",workflow="default"} 6.0
turn_seconds_bucket{le="2.0",workflow="default"} 9.0
turn_seconds_bucket{le="+Inf",workflow="default"} 10.0
turn_seconds_bucket{le="0.5",workflow="a \\"b\\", c"} 0.0
turn_seconds_bucket{le="1.0",workflow="a \\"b\\", c"} 0.0
turn_seconds_bucket{le="2.0",workflow="a \\"b\\", c"} 0.0
turn_seconds_bucket{le="+Inf",workflow="a \\"b\\", c"} 0.0
turns_total{outcome="completed",workflow="default"} 8.0
turns_total{outcome="failed",workflow="default"} 2.0
"""


def test_a_quantile_lies_evenly_within_its_bucket(windows: Windows):
    window = windows.open()
    quantile = (
        "({ buckets, parseMetrics, quantile }, q, text) => quantile(q, buckets(parseMetrics(text), 'turn_seconds'))"
    )
    for q, seconds in [(0.1, 0.25), (0.2, 0.5), (0.5, 0.875), (0.9, 2), (0.99, 2)]:
        assert window.run("metrics.js", quantile, q, HISTOGRAM) == pytest.approx(seconds)


def test_counters_are_summed_over_what_is_asked_for(windows: Windows):
    window = windows.open()
    total = "({ parseMetrics, total }, text) => total(parseMetrics(text), 'turns_total', (labels) => !WITHOUT)"
    assert window.run("metrics.js", total.replace("WITHOUT", "false"), HISTOGRAM) == 10
    assert window.run("metrics.js", total.replace("WITHOUT", "(labels.outcome === 'completed')"), HISTOGRAM) == 2
