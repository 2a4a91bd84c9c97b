"""Requests that nobody should send, to every route, out of one seed; and what must be true of each answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import orjson
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from gateway.web.queries import ResponseHeaders, VersionHeaders
from gateway.web.reference.sessions import MAKE
from gateway.web.reference.turns import RUN_WORKFLOW
from gateway.web.reference.v1 import CREATE_RESPONSE
from gateway.web.routes import Route, route_of

SESSION = "fuzzed"
"""A session that is there when a request is sent."""


class Raw(bytes):
    """JSON that no encoder writes."""


def nested(depth: int, opening: str = "[", closing: str = "]") -> Raw:
    return Raw((opening * depth + closing * depth).encode())


TEXTS = [
    "",
    " ",
    "a",
    ".",
    "..",
    "conv_1",
    "conv_68fb96fe1a488195bf48df8f7666551604cbf45151194822",
    "\x00",
    "a\x00b",
    "\n",
    "\r\nX-Header: 1",
    "\u202e\u200b",
    "ﬀ",
    "😀" * 80,
    "é" * 201,
    "x" * 5000,
    "'; DROP TABLE gateway_sessions; --",
    "%",
    "_",
    "*",
    "[a]",
    "{0}",
    "../../etc/passwd",
    "true",
    "null",
    "-1",
    "1e400",
    "9" * 400,
    "٣",
    "2025-10-26T10:00:00.000Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "Infinity",
]

VALUES: list[object] = [
    *TEXTS,
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**53 + 1,
    2**63,
    2**64 - 1,
    1e308,
    Raw(b"1" + b"0" * 400),
    Raw(b"1e400"),
    Raw(b"-0.0"),
    Raw(b"NaN"),
    Raw(b"Infinity"),
    Raw(b'"\\ud800"'),
    Raw(b'"\\udfff\\u0000"'),
    Raw(b'"\xff\xfe"'),
    Raw(b'{"a":1,"a":2}'),
    [],
    {},
    [[]],
    [None],
    [1, "a", {}],
    {"": ""},
    {"\x00": "\x00"},
    {"a" * 65: "b"},
    {str(number): "a" for number in range(17)},
    {"a": {"b": None}},
    {"session_id": "\x00"},
    {"session_id": 7},
    {"id": "a\x00"},
    [{"role": "user", "content": "\x00"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": [{"type": "input_text", "text": 7}]}],
    [{"role": [], "content": "a"}],
    [{"type": "function_call_output", "call_id": "a\x00", "output": ""}],
    [{"type": "function_call", "call_id": {}, "name": [], "arguments": 1}],
    [{"type": {}, "id": {}}],
    [{"type": "item_reference", "id": "msg_\x00"}],
    [{"type": "item_reference", "id": "../conversations"}],
    [{"type": "message", "role": "user", "content": "a", "id": "msg_" + "a" * 300}],
    [{"role": "user", "content": "a"}] * 21,
    [{"role": "user", "content": "a"}] * 2001,
    nested(40),
    nested(100),
    nested(300),
    nested(1020),
    nested(100_000),
    Raw(b'{"a":' * 200 + b"1" + b"}" * 200),
]

KINDS = ["message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"]
KINDS += ["web_search_call", "file_search_call", "computer_call", "computer_call_output", "code_interpreter_call"]
KINDS += ["image_generation_call", "local_shell_call", "shell_call", "shell_call_output", "apply_patch_call"]
KINDS += ["mcp_list_tools", "mcp_approval_request", "mcp_call", "compaction"]
ITEM_FIELDS = ["role", "content", "call_id", "name", "arguments", "input", "output", "summary", "status", "id", "type"]
ITEM_FIELDS += ["action", "actions", "code", "outputs", "queries", "results", "result", "operation"]
ITEM_FIELDS += ["encrypted_content", "annotations", "tools", "server_label", "error", "phase"]
ITEM_VALUES: list[object] = [None, True, 7, "", "a", [], {}, [None], [7], ["a"], [[]], [{}], {"a": None}, "\x00"]
ITEM_VALUES += [[{"type": "input_text", "text": "a", "annotations": 7}], [{"type": "input_image", "image_url": 7}]]
ITEM_VALUES += [[{"type": "output_text", "text": "a", "annotations": [None]}], [{"type": "refusal", "refusal": {}}]]
ITEM_VALUES += [[{"type": "summary_text", "text": 7}], {"type": "search", "query": 7, "queries": 7, "commands": 7}]

SCHEMA_FIELDS = ["$ref", "$defs", "type", "properties", "required", "items", "minItems", "enum", "const", "anyOf"]
SCHEMA_FIELDS += ["oneOf", "allOf", "minLength", "maxLength", "pattern", "format", "minimum", "multipleOf"]
SCHEMA_VALUES: list[object] = [None, True, 7, -1, 10**10, 1e300, "", "x", "(", "#", "#/$defs/a", "null", [], {}, [7]]
SCHEMA_VALUES += [["x"], [[]], [{}], {"a": 7}, {"$ref": "#"}, [{"$ref": "#"}], {"a": {"$ref": "#/$defs/a"}}, [True, 7]]

BODIES: list[bytes] = [
    b"",
    b" ",
    b"null",
    b"7",
    b'"a"',
    b"[]",
    b"{",
    b'{"a":1}x',
    b'{"a":1,}',
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"{}" * 2,
    b'{"\\ud800":1}',
    b'{"a\x00":1}',
    b"[" * 2_000_000,
    b"a=b&c=d",
    b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--",
]

PATHS = [
    b"\xff",
    b"\x00",
    b"a\x00b",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"..",
    b".",
    b"",
    b"/",
    b"a/b",
    b"%2e%2e",
    b"%00",
    b"conv_1",
    b"a b",
    b"\r\n",
    b"x" * 201,
    b"x" * 20_000,
    "é".encode(),
    b"sess_" + b"0" * 32,
    b"turn_" + b"0" * 32,
    b"resp_\x00",
    b"msg_" + b"a" * 200,
    b"{session_id}",
    b"*",
]

QUERIES = [
    b"\xff=\xff",
    b"%",
    b"%zz=%zz",
    b"%00=%00",
    b"a=%ed%a0%80",
    b"=",
    b"&&&",
    b"a;b",
    b"limit=1&limit=2",
    b"user_id=a&user_id=b",
    b"user_id=",
    b"user_id=%00",
    b"user_id=" + b"x" * 300,
    b"include[]=a&include=b&include[9]=%ff",
    b"a" * 20_000,
    b"__proto__=1",
]

ODD_HEADERS = {
    "Idempotency-Key": ["", "a", "a b", "é", "k" * 255, "k" * 256, "\x7f"],
    "If-Match": ["", "*", '"a"', "W/", '"', 'W/"a", "b', ",,,", "a" * 5000],
    "If-None-Match": ["*", '"', "W/", "\xff"],
    "If-Modified-Since": ["never", "0"],
    "Range": ["bytes=0-0", "bytes=9-1", "bytes=-", "items=1"],
    "Accept": ["text/event-stream", "*/*;q=a", ";", ",,", "text/event-stream;q=0"],
    "Accept-Encoding": ["gzip;q=a", ";", "identity;q=0"],
    "Accept-Language": [";;q=", "*"],
    "Content-Type": [
        "",
        "application/json; charset=utf-16",
        "application/json;charset",
        "APPLICATION/JSON",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=b",
        "application/x-www-form-urlencoded",
        "a",
        ";",
        "application/json\x0b",
        "\xff/\xff",
    ],
    "Content-Length": ["-1", "a", "9" * 30, "+1", "1, 1"],
    "Content-Encoding": ["gzip", "br"],
    "Transfer-Encoding": ["chunked", "gzip", "a"],
    "Authorization": [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "bearer gw_a_b",
        "Basic YTpi",
        "Basic \xff",
        "Bearer \xff\xfe",
        "Bearer gw_x_" + "a" * 43,
        "Bearer " + "a" * 9000,
        "Bearer a.b.c",
        'Digest username="a',
        "Bearer gw_\x00_" + "a" * 43,
    ],
    "Cookie": ["gateway_key", "gateway_key=", "gateway_key=\xff", "gateway_key=a; gateway_key=b", "=;=;", '"'],
    "Host": ["", "a", "[", "[::1", "localhost:99999999", "localhost:a", "\xff", "127.0.0.1@evil", "..", "a b"],
    "Origin": ["null", "http://[", "\xff", "http://localhost"],
    "Sec-Fetch-Site": ["cross-site", "same-origin", "none", "a"],
    "Forwarded": ["for=;;;"],
    "X-Forwarded-For": ["a, b", ""],
    "X-Forwarded-Proto": ["https", "\xff"],
    "X-Request-Id": ["a\tb", "x" * 9000],
    "X-On-Busy": ["", "never", "reject"],
    "X-On-Lost": ["", "never", "restart"],
    "X-Stainless-Retry-Count": ["", "1", "a", "-1"],
    "X-HTTP-Method-Override": ["DELETE"],
    "Expect": ["100-continue", "a"],
}

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "X" * 100]

_HEADERS = [*ResponseHeaders.__struct_encode_fields__, *VersionHeaders.__struct_encode_fields__]


@dataclass
class Attempt:
    """One request, as a server would hand it to the application."""

    method: str
    path: bytes
    query: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def send(self, app: Flask, **headers: str) -> TestResponse:
        environ = {"PATH_INFO": self.path.decode("latin1"), "QUERY_STRING": self.query.decode("latin1")}
        for name, value in {**headers, **self.headers}.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        client = app.test_client(use_cookies=False)
        return client.open(method=self.method, data=self.body, environ_overrides=environ)

    def __repr__(self) -> str:
        return f"{self.method} {self.path[:300]!r} ?{self.query[:300]!r} {str(self.headers)[:300]} {self.body[:300]!r}"


class Fuzzer:
    """Attempts at every route of an application, the same ones for the same seed."""

    def __init__(self, app: Flask, seed: int) -> None:
        self._rules = sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods or ())))
        self._random = Random(seed)
        self._app = app

    def attempts(self, rounds: int) -> Iterator[Attempt]:
        for _ in range(rounds):
            for rule in self._rules:
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                    yield from self._at(rule, method)
                yield Attempt(self._random.choice(METHODS), self._path(rule))

    def _at(self, rule: Rule, method: str) -> Iterator[Attempt]:
        pick = self._random.choice
        route = route_of(self._app, rule.endpoint)
        path, body = self._path(rule), self._valid_body(route)
        for name in self._fields(route):
            yield self._attempt(method, path, body=_encode({**body, name: pick(VALUES)}))
            if name in ("input", "items"):
                yield self._attempt(method, path, body=_encode({**body, name: self._odd_items()}))
        if route is CREATE_RESPONSE:
            for schema in [self._odd_schema() for _ in range(10)]:
                yield from self._with_schema(path, body, schema)
        two = {pick(self._fields(route)): pick(VALUES) for _ in range(2)}
        yield self._attempt(method, path, body=_encode({**body, **two}))
        yield self._attempt(method, path, body=pick(BODIES))
        yield self._attempt(method, self._path(rule, odd=True), body=_encode(body))
        for name in [*self._parameters(route), None]:
            value = quote(pick(TEXTS), safe="").encode()
            query = pick(QUERIES) if name is None else b"%b=%b" % (name.encode(), value)
            yield self._attempt(method, path, query=query, body=_encode(body))
        for name in {pick(list(ODD_HEADERS)), pick(list(ODD_HEADERS)), pick(_HEADERS)}:
            yield self._attempt(method, path, headers={name: pick(ODD_HEADERS[name])}, body=_encode(body))

    def _attempt(self, method: str, path: bytes, *, headers: dict[str, str] | None = None, **parts: bytes) -> Attempt:
        typed = {"Content-Type": "application/json"} if method in ("POST", "PATCH") else {}
        return Attempt(method, path, headers={**typed, **(headers or {})}, **parts)

    def _path(self, rule: Rule, *, odd: bool = False) -> bytes:
        parts = {"session_id": SESSION.encode(), "name": b""}

        def fill(match: re.Match[bytes]) -> bytes:
            usual = parts.get(match[1].decode(), b"x")
            return self._random.choice(PATHS) if odd else usual

        return re.sub(rb"<(?:\w+:)?(\w+)>", fill, rule.rule.encode())

    def _odd_items(self) -> list[object]:
        """An item of any type whose fields may be anything, behind one that is as it should be."""
        pick = self._random.choice
        sound = {"type": pick(KINDS), "role": "user", "call_id": "call_1", "name": "f", "arguments": "{}", "input": "a"}
        sound |= {"content": "a", "output": "a", "summary": []}
        odd = {pick(ITEM_FIELDS): pick(ITEM_VALUES) for _ in range(3)}
        return [{"role": "user", "content": "a"}, {**sound, **odd}]

    def _odd_schema(self) -> dict[str, object]:
        """A schema of an object with odd schemas in it, or odd itself."""
        pick = self._random.choice
        parts = [{pick(SCHEMA_FIELDS): pick(SCHEMA_VALUES) for _ in range(2)} for _ in range(3)]
        listed = {"type": "array", "minItems": 2, "items": parts[1]}
        sound = {"type": "object", "properties": {"a": parts[0], "b": listed}, "required": ["a", "b"]}
        return pick([sound, {**sound, **parts[2]}, parts[2]])

    def _with_schema(self, path: bytes, body: dict[str, Any], schema: object) -> Iterator[Attempt]:
        """The form of an answer, in a conversation and in none, and the arguments of a function."""
        form = {"text": {"format": {"type": "json_schema", "name": "form", "schema": schema}}}
        function = {"type": "function", "name": "f", "parameters": schema}
        called = {"tools": [function], "tool_choice": "required"}
        # A call that stayed in the conversation would be asked for by every turn after it.
        for asked in (form, {**form, "conversation": None}, {**called, "conversation": None}):
            yield self._attempt("POST", path, body=_encode({**body, **asked}))

    @staticmethod
    def _valid_body(route: Route) -> dict[str, Any]:
        body = dict(route.example or {})
        # No other sessions than the one that is there: what is asked of it goes all the way.
        if "session_id" in body and (route is RUN_WORKFLOW or route is MAKE):
            body["session_id"] = SESSION
        if "conversation" in body:
            body["conversation"] = SESSION
        return body

    @staticmethod
    def _fields(route: Route) -> list[str]:
        return [*(route.body.__struct_fields__ if route.body else ()), "unknown"]

    @staticmethod
    def _parameters(route: Route) -> list[str]:
        return list(route.query.__struct_fields__) if route.query else []


def _encode(value: object) -> bytes:
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, dict):
        return b"{%b}" % b",".join(b"%b:%b" % (_encode(name), _encode(part)) for name, part in value.items())
    if isinstance(value, list):
        return b"[%b]" % b",".join(map(_encode, value))
    return orjson.dumps(value)


def verdict(answer: TestResponse) -> str | None:
    """What is wrong with this answer; None for nothing."""
    text = answer.get_data(as_text=True)  # to a stream's end
    if answer.status_code >= 500:
        return f"{answer.status_code} {text[:300]}"
    if "event: error" in text and '"status":5' in text:
        return f"a stream that ends with {text[-300:]}"
    if not answer.headers.get("X-Request-Id"):
        return "no request id"
    if answer.status_code < 400:
        return None if answer.status_code in (200, 201, 202, 204, 304) else f"a {answer.status_code}"
    if answer.request.method == "HEAD":
        return None
    try:
        error = orjson.loads(text)["error"]
        told = (error["message"], error["type"], error["code"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} in another shape: {text[:300]}"
    if not all(isinstance(word, str) and word for word in told) or not isinstance(error["param"], str | None):
        return f"an error without words: {text[:300]}"
    if error["request_id"] != answer.headers["X-Request-Id"]:
        return "another request id"
    return None if answer.headers.get("x-should-retry") in ("true", "false") else "no word on retries"
