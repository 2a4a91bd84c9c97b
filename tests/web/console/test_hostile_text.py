"""Text that was made to hold up who looks at it, in the console's modules as node runs them: no tab freezes."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gateway.web.console
from tests.harness.support import not_tested

MODULES = Path(gateway.web.console.__file__).parent / "static"

SECONDS = 20
"""Each of these takes less than one. Where a pattern looks at the same words again and again it is minutes."""

# As much of a document as the modules build their nodes with.
DOCUMENT = """
class Element {
  children = [];
  dataset = {};
  constructor(tag) { this.tag = tag; }
  get firstChild() { return this.children[0] ?? null; }
  get nextSibling() { return null; }
  get textContent() {
    const texts = [], left = [this];
    while (left.length) {
      const node = left.pop();
      if (typeof node === "string") texts.push(node);
      else for (let at = node.children.length - 1; at >= 0; at--) left.push(node.children[at]);
    }
    return texts.join("");
  }
  set textContent(text) { this.children = [text]; }
  append(...nodes) { for (const node of nodes) this.children.push(node); }
  setAttribute() {}
  addEventListener() {}
}
const make = (tag) => new Element(tag);
const found = make("found");
globalThis.document = { createElement: make, createElementNS: (_, tag) => make(tag), getElementById: () => found };
const given = JSON.parse(await new Promise((resolve) => {
  let text = "";
  process.stdin.setEncoding("utf8").on("data", (piece) => (text += piece)).on("end", () => resolve(text));
}));
"""

Run = Callable[[str, Any], Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a script of the modules with one argument, `given`; what it returns is the answer."""
    node = shutil.which("node") or not_tested("the console's modules in node", "apt-get install nodejs")
    folder = tmp_path_factory.mktemp("modules")
    for module in MODULES.glob("*.js"):
        shutil.copy(module, folder)
    (folder / "package.json").write_text('{"type": "module"}')

    def run(script: str, given: Any) -> Any:
        (folder / "main.js").write_text(f"{DOCUMENT}\nconsole.log(JSON.stringify(await (async () => {{{script}}})()));")
        done = subprocess.run(
            [node, "main.js"],
            cwd=folder,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-1000:]
        return json.loads(done.stdout)

    return run


WORDS = 19_900


def long(pattern: str, size: int = 500_000) -> str:
    return (pattern * (size // len(pattern) + 1))[:size]


# One line each, of unclosed, nested and repeated marks.
LINES = {
    "a heading full of blanks": f"# a{long(' ')}b",
    "a heading full of hashes": f"# {long('#')}b",
    "hashes": long("#"),
    "blanks": f"{long(' ')}b",
    "tabs": f"{long(chr(9))}b",
    "quotes in quotes": long(">"),
    "quotes in quotes, apart": f"{long('> ')}a",
    "lists in lists": f"{long('- ')}a",
    "numbered lists in lists": f"{long('1. ')}a",
    "lists in quotes": f"{long('> - ')}a",
    "a list item with another line end": f"- {long(' ')}a{chr(0x2028)}x",
    "a fence full of blanks": f"```{long(' ')}`",
    "a fence full of letters": f"```{long('a')}`",
    "a fence of tildes": f"{long('~')}`",
    "a fence of backticks": f"{long('`')}\nx",
    "an almost-rule": f"-{long(' -')}x",
    "an almost-rule full of blanks": f"-{long(' ')}x",
    "an almost-table": f"a|b\n-{long(' ')}x",
    "an almost-table behind blanks": f"a|b\n{long(' ')}x-",
    "a table of one row": f"{long('a|')}\n{long('-|')}",
    "pipes": f"|\n{long('|')}-",
}

# The same within a paragraph, which is read for marks up to 20,000 characters.
UNCLOSED = {
    "backticks": f"a {long('`', WORDS)}",
    "backticks of every length": " ".join("`" * length for length in range(1, 199)),
    "code": f"a `{long('``` ', WORDS)}",
    "strong": long("**a ", WORDS),
    "strong, never opened": long(" a**", WORDS),
    "struck": long("~~a ", WORDS),
    "emphasis": long("*a ", WORDS),
    "emphasis by lines": long(" _a", WORDS),
    "underscores": f"a {long('_', WORDS)}",
    "snakes": long("a_", WORDS),
    "brackets": long("[", WORDS),
    "brackets before a target": f"{long('[', WORDS // 2)}]({long('a', WORDS // 2)}",
    "links": long("[a](", WORDS),
    "links full of blanks": f"[a]({long(' ', WORDS)}",
    "links with titles": long('[a](b "', WORDS),
    "closing brackets": f"[a]({long(']', WORDS)}",
    "pictures": long("![", WORDS),
    "addresses": long("http://", WORDS),
    "an address of dots": f"http://{long('.', WORDS)}",
}
CLOSED = {
    "emphasis": long("*a*b", WORDS),
    "asterisks": f"a{long('*', WORDS)}",
    "tildes": f"a{long('~', WORDS)}",
    "pairs of backticks": f"a {long('`` ', WORDS)}",
    "marks in marks": long("**~~*_[", WORDS),
    "links": long("[a](http://b.example) ", WORDS),
    "backslashes": long("\\", WORDS),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_takes_as_long_as_it_is(run: Run, name: str) -> None:
    assert run(RENDER, [LINES[name]])[0] > 0


@pytest.mark.parametrize("name", UNCLOSED)
def test_marks_that_are_never_closed_are_looked_for_once(run: Run, name: str) -> None:
    assert run(RENDER, ["\n\n".join([UNCLOSED[name]] * 400)])[0] > 0


@pytest.mark.parametrize("name", CLOSED)
def test_marks_take_as_long_as_they_are_many(run: Run, name: str) -> None:
    assert run(RENDER, ["\n\n".join([CLOSED[name]] * 40)])[0] > 0


RENDER = """
    const { renderMarkdown } = await import("./markdown.js");
    return given.map((text) => {
        const container = make("div");
        renderMarkdown(container, text);
        return container.textContent.length;
    });
"""


# So many lines of a kind.
KINDS = {
    "paragraphs": "a\n\n",
    "lines": "a\n",
    "words with marks": "**a** `b` [c](http://d.example)\n",
    "empty lines": "\n",
    "empty lines in a list": "- a\n\n\n\n",
    "headings": "# a\n",
    "rules": "---\n",
    "quotes": "> a\n",
    "quoted paragraphs": "> a\n>\n",
    "items": "- a\n",
    "numbered items": "1. a\n",
    "items apart": "- a\n\n",
    "items of several lines": "- a\n  b\n",
    "items of two kinds": "- a\n1. b\n",
    "fences": "```\n",
    "rows": "| a | b |\n",
    "tables": "| a |\n| - |\n\n",
}


@pytest.mark.parametrize("name", KINDS)
def test_many_lines_take_as_long_as_they_are_many(run: Run, name: str) -> None:
    table = "| a | b |\n|---|---|\n" if name == "rows" else ""
    assert run(RENDER, [table + KINDS[name] * 100_000])


def test_lines_nested_ever_deeper_are_shown_with_every_word(run: Run) -> None:
    quotes = "\n".join(f"{'>' * depth} word{depth}" for depth in range(1, 400))
    items = "\n".join(f"{'  ' * depth}- word{depth}" for depth in range(400))
    shown = run(RENDER.replace(".textContent.length", ".textContent"), [quotes, items])
    for text, first in zip(shown, (1, 0), strict=True):
        assert all(f"word{depth}" in text for depth in range(first, 400))


def test_a_table_of_very_many_columns_stays_text(run: Run) -> None:
    """A browser needs a minute to lay out what fits into an item of 200 KB."""
    wide, narrow = (f"{'a|' * columns}\n{'-|' * columns}\n{'b|' * columns}" for columns in (501, 500))
    script = """
        const { renderMarkdown } = await import("./markdown.js");
        return given.map((text) => {
            const container = make("div");
            renderMarkdown(container, text);
            return [container.children[0].tag, container.textContent];
        });
    """
    assert run(script, [wide, narrow]) == [["p", wide], ["div", "a" * 500 + "b" * 500]]


def test_a_reply_without_a_sentence_is_announced_at_its_end(run: Run) -> None:
    words = long("a")
    script = """
        globalThis.setTimeout = (act) => act();
        const { sayReply } = await import("./announcer.js");
        sayReply(given);
        const early = found.textContent;
        sayReply(`${given}. And`);
        const sentence = found.textContent;
        sayReply(`${given}. And more`, true);
        return [early, sentence, found.textContent];
    """
    early, sentence, whole = run(script, words)
    assert (early, sentence, whole) == ("", f"{words}.", f"{words}.And more")


def test_json_in_json_is_not_blown_up_by_its_indentation(run: Run) -> None:
    script = """
        const { buildItem } = await import("./items.js");
        const call = (text) => ({ type: "function_call", name: "f", arguments: text });
        return given.map((text) => buildItem(call(text), new Map()).textContent);
    """
    flat, deep, deepest = '{"city": ["Rome"]}', "[" * 2000 + "]" * 2000, "[" * 500_000
    shown = run(script, [flat, deep, deepest])
    assert shown[0] == 'Call of f{\n  "city": [\n    "Rome"\n  ]\n}'
    assert shown[1:] == [f"Call of f{deep}", f"Call of f{deepest}"]


def test_an_event_in_many_pieces_is_looked_through_once(run: Run) -> None:
    script = """
        const frame = `event: done\\ndata: ${JSON.stringify("a".repeat(given))}\\n\\n`;
        const bytes = new TextEncoder().encode(frame + frame);
        let sent = 0;
        const pull = (controller) => {
            controller.enqueue(bytes.slice(sent, (sent += 100)));
            if (sent >= bytes.length) controller.close();
        };
        globalThis.fetch = async () => new Response(new ReadableStream({ pull }));
        const { stream } = await import("./api.js");
        const seen = [];
        for await (const [name, data] of stream("workflow", {})) seen.push([name, data.length]);
        return seen;
    """
    assert run(script, 4_000_000) == [["done", 4_000_000]] * 2
