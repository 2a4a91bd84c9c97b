"""The promises of a turn, over real HTTP: two gateways on one store, before one hosted provider that can fail."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import StoreAddress
from tests.harness.gateways import Clients, GatewayProcess, opened, turns_before
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess

PATIENT = {"GATEWAY_QUEUE_LIMIT": 64, "GATEWAY_BUSY_WAIT": "60s", "GATEWAY_LEASE": "1s"}
SHARED = ["json", "sqlite", "postgresql", "mariadb", "valkey"]


@pytest.fixture(scope="module")
def hosted() -> Iterator[UpstreamProcess]:
    with UpstreamProcess(key="sk-test") as upstream:
        yield upstream


@pytest.fixture
def upstream(hosted: UpstreamProcess) -> Iterator[UpstreamProcess]:
    hosted.withdraw()
    yield hosted
    hosted.withdraw()
    hosted.release()


@pytest.fixture
def start(upstream: UpstreamProcess) -> Iterator[Callable[..., GatewayProcess]]:
    started = []

    def start(store: StoreAddress, **settings: object) -> GatewayProcess:
        gateway = GatewayProcess.on(store, upstream, **settings)
        started.append(gateway)
        return gateway.start()

    yield start
    for gateway in started:
        gateway.close()


@pytest.fixture(scope="module")
def patient(hosted: UpstreamProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with the settings as they are, shared by the tests: each has a session and a key of its own."""
    store = StoreAddress("sqlite", f"sqlite:///{tmp_path_factory.mktemp('patient')}/sessions.db", "gateway")
    with GatewayProcess.on(store, hosted) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def impatient(hosted: UpstreamProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One that soon gives up, shared in the same way."""
    store = StoreAddress("sqlite", f"sqlite:///{tmp_path_factory.mktemp('impatient')}/sessions.db", "gateway")
    with GatewayProcess.on(store, hosted, GATEWAY_BUSY_WAIT="1s", GATEWAY_PROVIDER_TIMEOUT="1s") as gateway:
        yield gateway


_numbers = itertools.count(1)


@pytest.fixture
def alice() -> str:
    """A session that no other test uses; serves as an idempotency key too."""
    return f"alice-{next(_numbers)}"


@pytest.fixture(scope="module", params=SHARED)
def shared_store(request: pytest.FixtureRequest, make_lasting_address: Callable[[str], StoreAddress]) -> StoreAddress:
    """A store of each kind that several gateways can use at once."""
    return make_lasting_address(request.param)


@pytest.fixture(scope="module")
def pair(shared_store: StoreAddress, hosted: UpstreamProcess) -> Iterator[list[GatewayProcess]]:
    """Two gateways on one store, shared by the tests."""
    one, other = (GatewayProcess.on(shared_store, hosted, **PATIENT) for _ in range(2))
    with one, other:
        yield [one, other]


@pytest.fixture
def sqlite(make_store_address: Callable[[str], StoreAddress]) -> StoreAddress:
    return make_store_address("sqlite")


def inputs(upstream: UpstreamProcess) -> list[str]:
    """What the provider was asked, in the order in which it was asked."""
    return [
        seen["body"]["input"]
        for seen in upstream.seen()["requests"]
        if (seen["method"], seen["path"]) == ("POST", "/v1/responses")
    ]


def asked(upstream: UpstreamProcess, method: str, path: str) -> int:
    return sum((seen["method"], seen["path"]) == (method, path) for seen in upstream.seen()["requests"])


# --- One conversation, one turn at a time, in order -----------------------------------------------------------


def test_fifty_first_messages_over_two_processes_are_one_conversation_in_arrival_order(
    pair: list[GatewayProcess], shared_store: StoreAddress, alice: str, upstream: UpstreamProcess
) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "silence"})
    with Clients(50) as clients, opened(shared_store) as sessions:
        replies = []
        for number in range(50):
            replies.append(clients.start(pair[number % 2].say, alice, f"message {number}"))
            eventually(lambda arrived=number + 1: turns_before(sessions, alice) == arrived)
        upstream.release()
        done = [reply.result() for reply in replies]
    assert len({reply["conversation_id"] for reply in done}) == 1
    assert [reply["created"] for reply in done].count(True) == 1
    assert inputs(upstream) == [f"message {number}" for number in range(50)]
    assert asked(upstream, "POST", "/v1/conversations") == 1
    assert upstream.seen()["conversations"][done[0]["conversation_id"]] == {"turns": 50, "most_at_once": 1}


def test_simultaneous_first_messages_make_one_conversation(
    pair: list[GatewayProcess], alice: str, upstream: UpstreamProcess
) -> None:
    with Clients(32) as clients:
        replies = [clients.start(pair[number % 2].say, alice, f"message {number}") for number in range(32)]
        done = [reply.result() for reply in replies]
    assert len({reply["conversation_id"] for reply in done}) == 1
    assert asked(upstream, "POST", "/v1/conversations") == 1
    assert upstream.seen()["conversations"][done[0]["conversation_id"]] == {"turns": 32, "most_at_once": 1}


def test_waiters_leave_threads_for_other_sessions_and_for_healthz(
    sqlite: StoreAddress, start: Callable[..., GatewayProcess], upstream: UpstreamProcess
) -> None:
    gateway = start(sqlite, GATEWAY_THREADS=8, GATEWAY_QUEUE_LIMIT=64)
    gateway.say("bob", "hello")
    upstream.faults({"match": "POST /v1/responses", "fault": "silence"})
    with Clients(12) as clients, opened(sqlite) as sessions:
        held = clients.start(gateway.turn, "alice", "first")
        eventually(lambda: upstream.seen()["waiting"] == 1)
        waiting = [clients.start(gateway.turn, "alice", f"message {number}") for number in range(4)]
        eventually(lambda: turns_before(sessions, "alice") == 5)
        refused = gateway.turn("alice", "one too many")
        assert gateway.get("/healthz").status_code == 200
        assert gateway.say("bob", "still there?")["session_id"] == "bob"
        upstream.release()
        assert [turn.result().status_code for turn in [held, *waiting]] == [200] * 5
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "queue_full")
    assert (refused.headers["x-should-retry"], int(refused.headers["Retry-After"]) >= 1) == ("true", True)


def test_a_busy_session_is_refused_at_once_where_the_client_does_not_wait(
    patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "silence"})
    with Clients(1) as clients:
        held = clients.start(patient.turn, alice, "first")
        eventually(lambda: upstream.seen()["waiting"] == 1)
        busy = patient.turn(alice, "second", on_busy="reject")
        streamed = patient.turn(alice, "third", on_busy="reject", stream=True)
        upstream.release()
        assert held.result().status_code == 200
    for refused in (busy, streamed):
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "turn_busy")
        assert refused.headers["Content-Type"] == "application/json"
        assert (refused.headers["x-should-retry"], "Retry-After" in refused.headers) == ("true", True)
    assert inputs(upstream) == ["first"]


def test_a_turn_waits_no_longer_than_the_busy_wait(
    sqlite: StoreAddress, start: Callable[..., GatewayProcess], upstream: UpstreamProcess
) -> None:
    gateway = start(sqlite, GATEWAY_BUSY_WAIT="200ms")
    upstream.faults({"match": "POST /v1/responses", "fault": "silence"})
    with Clients(1) as clients:
        held = clients.start(gateway.turn, "alice", "first")
        eventually(lambda: upstream.seen()["waiting"] == 1)
        assert gateway.turn("alice", "second").json()["error"]["code"] == "turn_busy"
        upstream.release()
        assert held.result().status_code == 200


# --- A hang-up loses nothing ------------------------------------------------------------------------------------


def test_a_client_that_leaves_after_the_first_word_loses_nothing(
    pair: list[GatewayProcess], alice: str, upstream: UpstreamProcess
) -> None:
    gateway = pair[0]
    upstream.faults({"match": "POST /v1/responses", "fault": "pause", "events": 8})
    with gateway.stream(alice, "tell me") as events:
        held = next(events)[1]
        assert next(events)[0] == "delta"
        assert gateway.record(alice, held["turn_id"])["state"] == "running"
    upstream.release()
    record = eventually(lambda: _completed(gateway.record(alice, held["turn_id"])))
    assert '"tell me"' in record["output_text"]
    assert upstream.seen()["conversations"][held["conversation_id"]]["turns"] == 1
    assert '"tell me"' in gateway.say(alice, "what did I say?")["output_text"]


def test_the_mapping_is_there_before_the_first_word(
    sqlite: StoreAddress, start: Callable[..., GatewayProcess], upstream: UpstreamProcess
) -> None:
    gateways = [start(sqlite), start(sqlite)]
    upstream.faults({"match": "POST /v1/responses", "fault": "silence"})
    with gateways[0].stream("alice", "tell me") as events:
        name, held = next(events)
        assert (name, held["created"]) == ("session", True)
        assert gateways[1].get("/sessions/alice").json()["conversation_id"] == held["conversation_id"]
        upstream.release()
        names = [name for name, _ in events]
    assert names == ["delta"] * (len(names) - 1) + ["done"]
    assert gateways[1].record("alice", held["turn_id"])["state"] == "completed"


# --- Idempotency ------------------------------------------------------------------------------------------------


def test_the_same_key_twenty_times_at_once_is_one_turn(
    pair: list[GatewayProcess], alice: str, upstream: UpstreamProcess
) -> None:
    with Clients(20) as clients:
        turns = [clients.start(pair[number % 2].say, alice, "once", key=alice) for number in range(20)]
        replies = [turn.result() for turn in turns]
    assert len(inputs(upstream)) == 1
    assert len({reply["response_id"] for reply in replies}) == len({reply["output_text"] for reply in replies}) == 1
    assert [reply["replayed"] for reply in replies].count(False) == 1


def test_a_key_without_a_session_id_gives_back_the_session_that_was_made(
    patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    first, second = (patient.post("/workflow", {"input_as_text": "hi"}, Idempotency_Key=alice).json() for _ in range(2))
    assert second == {**first, "replayed": True}
    other = patient.post("/workflow", {"input_as_text": "something else"}, Idempotency_Key=alice)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert inputs(upstream) == ["hi"]


def test_a_replay_streams_the_same_words(patient: GatewayProcess, alice: str, upstream: UpstreamProcess) -> None:
    body = {"session_id": alice, "input_as_text": "hi", "stream": True}
    first, second = (patient.post("/workflow", body, Idempotency_Key=alice).text for _ in range(2))
    assert '"replayed":false' in first
    assert '"replayed":true' in second
    assert second.count("event: done") == 1
    assert len(inputs(upstream)) == 1


def test_a_key_whose_turn_was_surely_refused_may_be_used_again(
    patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    error = {"message": "This model does not take pictures.", "type": "invalid_request_error", "param": "input"}
    upstream.faults({"match": "POST /v1/responses", "fault": "status", "status": 400, "error": error})
    refused = patient.turn(alice, "hi", key=alice)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "provider_rejected")
    assert refused.json()["error"]["message"] == error["message"]
    assert patient.say(alice, "hi", key=alice)["replayed"] is False


def test_a_key_after_a_kill_is_one_turn_upstream(
    pair: list[GatewayProcess],
    shared_store: StoreAddress,
    alice: str,
    start: Callable[..., GatewayProcess],
    upstream: UpstreamProcess,
) -> None:
    """The provider carried the turn out, the gateway died before it heard of it."""
    first, second = start(shared_store, **PATIENT), pair[0]
    first.say(alice, "hello")
    upstream.withdraw()
    # All of the response is carried out, but the gateway sees no more than its beginning.
    upstream.faults({"match": "POST /v1/responses", "fault": "truncate", "events": 3, "after": True})
    upstream.faults({"match": "GET /v1/responses/*", "fault": "silence"})
    with Clients(1) as clients:
        cut_off = clients.start(_ignoring_errors, first.turn, alice, "once", key=alice)
        # It looks at once what became of the turn: there it is killed.
        eventually(lambda: upstream.seen()["waiting"] == 1)
        first.kill()
        cut_off.result()
    reply = eventually(lambda: _unless_busy(second.turn(alice, "once", key=alice)))
    assert reply["replayed"] is True
    # It was kept as soon as it was known.
    assert reply["response_id"].startswith("resp_")
    assert '"once"' in reply["output_text"]
    assert inputs(upstream) == ["once"]
    assert '"once"' in second.say(alice, "what did I say?")["output_text"]


def test_a_turn_that_surely_did_not_happen_is_run_again_after_a_kill(
    sqlite: StoreAddress, start: Callable[..., GatewayProcess], upstream: UpstreamProcess
) -> None:
    first, second = start(sqlite), start(sqlite)
    first.say("alice", "hello")
    upstream.withdraw()
    upstream.faults({"match": "POST /v1/responses", "fault": "pause", "events": 2})
    with Clients(1) as clients, opened(sqlite) as sessions:
        cut_off = clients.start(_ignoring_errors, first.turn, "alice", "once", key="k")
        eventually(lambda: (record := sessions.recall("", "k")) and record.response_id)
        first.kill()
        cut_off.result()
    # The provider notices that its caller is gone and drops the response.
    eventually(lambda: upstream.seen()["waiting"] == 0)
    reply = eventually(lambda: _unless_busy(second.turn("alice", "once", key="k")))
    assert reply["replayed"] is False
    conversation = upstream.seen()["conversations"][reply["conversation_id"]]
    assert conversation["turns"] == 1


def test_an_answer_that_was_lost_is_found_in_the_conversation(
    patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    """No id of the response ever reached us: what came after the previous turn's output is this turn's."""
    patient.say(alice, "hello")
    upstream.withdraw()
    upstream.faults({"match": "POST /v1/responses", "fault": "hangup", "after": True})
    lost = patient.turn(alice, "once", key=alice)
    assert (lost.status_code, lost.headers["x-should-retry"]) == (502, "false")
    reply = patient.say(alice, "once", key=alice)
    assert (reply["replayed"], reply["response_id"]) == (True, None)
    assert '"once"' in reply["output_text"]
    assert inputs(upstream) == ["once"]


def test_a_turn_of_which_nobody_can_tell_is_lost_and_not_run_again(
    patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    patient.say(alice, "hello")
    upstream.withdraw()
    upstream.faults({"match": "POST /v1/responses", "fault": "hangup"})
    assert patient.turn(alice, "once", key=alice).status_code == 502
    again = patient.turn(alice, "once", key=alice)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "turn_lost")
    assert again.headers["x-should-retry"] == "false"
    assert inputs(upstream) == ["once"]


# --- What the provider does wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry"),
    [
        ({"fault": "status", "status": 429}, 429, "provider_rate_limited", "true"),
        (
            {"fault": "status", "status": 429, "error": {"code": "insufficient_quota"}},
            429,
            "insufficient_quota",
            "false",
        ),
        ({"fault": "status", "status": 500}, 502, "provider_error", "false"),
        ({"fault": "status", "status": 503, "headers": {"Retry-After": "60"}}, 503, "provider_unavailable", "true"),
        ({"fault": "status", "status": 401}, 502, "provider_error", "false"),
        (
            {"fault": "status", "status": 400, "error": {"code": "context_length_exceeded"}},
            400,
            "context_length_exceeded",
            "false",
        ),
        ({"fault": "hangup"}, 502, "provider_error", "false"),
        ({"fault": "silence"}, 504, "provider_timeout", "false"),
        ({"fault": "failed"}, 502, "provider_error", "false"),
        ({"fault": "not_found"}, 410, "conversation_gone", "false"),
        ({"fault": "locked", "times": None}, 409, "turn_busy", "true"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_fault_of_the_provider_is_a_clear_error_and_the_session_goes_on(
    fault: dict[str, object],
    status: int,
    code: str,
    retry: str,
    impatient: GatewayProcess,
    alice: str,
    upstream: UpstreamProcess,
) -> None:
    impatient.say(alice, "hello")
    upstream.faults({"match": "POST /v1/responses", **fault})
    answer = impatient.turn(alice, "again")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], answer.headers["x-should-retry"]) == (status, code, retry)
    assert error["request_id"] == answer.headers["X-Request-Id"]
    upstream.withdraw()
    upstream.faults({"match": "POST /v1/responses", **fault})
    with impatient.stream(alice, "again") as events:
        named = dict(events)
    assert named.keys() == {"session", "error"}
    assert (named["error"]["error"]["status"], named["error"]["error"]["code"]) == (status, code)
    upstream.withdraw()
    assert impatient.say(alice, "and now?")["status"] == "completed"


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "status", "status": 429, "headers": {"Retry-After": "1"}},
        {"fault": "status", "status": 429, "error": {"message": "Rate limit reached. Please try again in 300ms."}},
        {"fault": "status", "status": 503, "headers": {"Retry-After": "1"}},
        {"fault": "locked", "times": 3},
    ],
    ids=["429 by header", "429 by its words", "503", "locked"],
)
def test_what_passes_by_itself_is_waited_out(
    fault: dict[str, object], patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    upstream.faults({"match": "POST /v1/responses", **fault})
    reply = patient.say(alice, "hello")
    assert upstream.seen()["conversations"][reply["conversation_id"]]["turns"] == 1


def test_a_rate_limit_longer_than_the_wait_says_when_to_come_back(
    impatient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "status", "status": 429})
    assert impatient.turn(alice, "hello").headers["Retry-After"] == "19"


def test_a_stream_that_breaks_off_is_settled_by_what_the_provider_says(
    patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "truncate", "events": 6, "after": True})
    with patient.stream(alice, "hello") as events:
        named = dict(events)
    assert named["done"]["status"] == "completed"
    assert '"hello"' in named["done"]["output_text"]


def test_a_provider_that_refuses_connections_is_unavailable(
    sqlite: StoreAddress, start: Callable[..., GatewayProcess]
) -> None:
    with UpstreamProcess(key="sk-test") as other:
        gateway = GatewayProcess.on(sqlite, other, GATEWAY_BUSY_WAIT="500ms")
        with gateway:
            gateway.say("alice", "hello")
            other.kill()
            answer = gateway.turn("alice", "again", key="k")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "provider_unavailable")
            other.start()
            assert gateway.say("alice", "again", key="k")["replayed"] is False


# --- Gone, and tool calls -----------------------------------------------------------------------------------------


def test_a_lost_conversation_is_gone_and_restarted_only_when_asked_for(
    patient: GatewayProcess, alice: str, upstream: UpstreamProcess
) -> None:
    old = patient.say(alice, "hello")["conversation_id"]
    upstream_delete(upstream, old)
    gone = patient.turn(alice, "are you there?")
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "conversation_gone")
    assert patient.get(f"/sessions/{alice}").json()["conversation_id"] == old
    reply = patient.say(alice, "are you there?", on_lost="restart")
    assert (reply["recovered"], reply["generation"], reply["created"]) == (True, 2, False)
    assert reply["conversation_id"] != old
    assert patient.get(f"/sessions/{alice}").json()["conversation_id"] == reply["conversation_id"]


def test_a_dangling_tool_call_is_named_and_can_be_cancelled(
    sqlite: StoreAddress, start: Callable[..., GatewayProcess], upstream: UpstreamProcess
) -> None:
    tools = '[{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]'
    gateway = start(sqlite, GATEWAY_TOOLS=tools)
    reply = gateway.say("alice", "call weather")
    assert reply["status"] == "requires_action"
    (call,) = reply["pending_calls"]
    assert call.keys() == {"call_id", "name", "arguments"}
    dangling = gateway.turn("alice", "never mind")
    assert (dangling.status_code, dangling.json()["error"]["code"]) == (409, "tool_output_missing")
    assert dangling.json()["error"]["pending_calls"] == [call]
    assert gateway.post("/sessions/alice/pending_calls/cancel", {}).json()["cancelled"] == [call]
    assert gateway.say("alice", "never mind")["status"] == "completed"


def test_a_tool_output_goes_in_as_input(
    sqlite: StoreAddress, start: Callable[..., GatewayProcess], upstream: UpstreamProcess
) -> None:
    tools = '[{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]'
    gateway = start(sqlite, GATEWAY_TOOLS=tools)
    (call,) = gateway.say("alice", "call weather")["pending_calls"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain until noon"}
    answer = gateway.post("/workflow", {"session_id": "alice", "input": [output]})
    assert answer.status_code == 200, answer.text
    assert "rain until noon" in answer.json()["output_text"]


def test_another_user_id_is_refused(patient: GatewayProcess, alice: str) -> None:
    patient.say(alice, "hello", user_id="u1", data={"plan": "free"}, metadata={"from": "web"})
    session = patient.get(f"/sessions/{alice}").json()
    assert (session["user_id"], session["data"], session["metadata"]) == ("u1", {"plan": "free"}, {"from": "web"})
    refused = patient.turn(alice, "hello", user_id="u2")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "user_mismatch")
    assert patient.say(alice, "hello", user_id="u1")["created"] is False


# --- SIGTERM ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sqlite", "valkey"], ids=["sqlite and gthread", "valkey and gevent"])
def test_sigterm_refuses_those_who_wait_and_finishes_what_is_under_way(
    name: str,
    make_store_address: Callable[[str], StoreAddress],
    start: Callable[..., GatewayProcess],
    upstream: UpstreamProcess,
) -> None:
    store = make_store_address(name)
    gateway, other = start(store), start(store)
    upstream.faults(*[{"match": "POST /v1/responses", "fault": "pause", "events": 8}] * 3)
    with Clients(4) as clients, opened(store) as sessions:
        with gateway.stream("carol", "I will leave") as events:
            left = next(events)[1]
            eventually(lambda: upstream.seen()["waiting"] == 1)
        held = clients.start(gateway.say, "alice", "hello", stream=False)
        with gateway.stream("bob", "stream it") as events:
            next(events)
            eventually(lambda: upstream.seen()["waiting"] == 3)
            waiting = clients.start(gateway.turn, "alice", "second")
            eventually(lambda: turns_before(sessions, "alice") == 2)
            ended = clients.start(gateway.terminate)
            refused = waiting.result()
            assert (refused.status_code, refused.headers["x-should-retry"]) == (503, "true")
            assert not ended.done()
            upstream.release()
            assert dict(events)["done"]["status"] == "completed"
        assert held.result()["status"] == "completed"
        assert ended.result() == 0
    assert other.record("carol", left["turn_id"])["state"] == "completed"


def upstream_delete(upstream: UpstreamProcess, conversation_id: str) -> None:
    import requests

    answer = requests.delete(
        f"{upstream.url}/conversations/{conversation_id}",
        headers={"Authorization": f"Bearer {upstream.key}"},
        timeout=10,
    )
    answer.raise_for_status()


def _completed(record: dict[str, object]) -> dict[str, object] | None:
    return record if record["state"] == "completed" else None


def _unless_busy(answer: "requests.Response") -> dict[str, object] | None:  # noqa: F821
    if answer.status_code == 409 and answer.json()["error"]["code"] == "turn_busy":
        return None
    assert answer.status_code == 200, answer.text
    return answer.json()


def _ignoring_errors(function: Callable[..., object], *args: object, **options: object) -> None:
    try:
        function(*args, **options)
    except OSError:
        return
