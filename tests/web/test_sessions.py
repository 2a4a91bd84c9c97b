"""The life of a session, on every store and with both providers."""

import pytest

from gateway.errors import ProviderError, ProviderUnavailableError, TurnLostError
from gateway.lifecycle.bulk import Skipped, purge
from gateway.lifecycle.erasures import Receipt, Unfinished
from gateway.model import Status, TurnState
from gateway.sessions import Lifetime
from gateway.testing.contract import stop_renewing, wait_until_dead
from gateway.testing.waiting import Clock
from tests.harness.app import House, key, texts, user
from tests.web.conftest import OpenHouse

CALL = {"type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": '{"word": "x"}'}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "found"}


def test_a_session_is_made_once_and_found_again(anywhere: House) -> None:
    made = anywhere.make("ann", user_id="user-1", data={"a": 1}, metadata={"m": "x"})
    assert made.keys() == {
        *("session_id", "conversation_id", "created_at", "last_used", "expires_at", "status", "user_id", "data"),
        *("metadata", "generation", "turns"),
    }
    assert (made["status"], made["user_id"], made["data"], made["metadata"]) == (
        "active",
        "user-1",
        {"a": 1},
        {"m": "x"},
    )
    assert anywhere.exists_at_provider(made["conversation_id"])
    again = anywhere.post("/sessions", {"session_id": "ann", "data": {"a": 2}})
    assert again == made == anywhere.get("/sessions/ann")
    assert (
        anywhere.error(409, "POST", "/sessions", {"session_id": "ann", "user_id": "user-2"})["code"] == "user_mismatch"
    )
    reply = anywhere.say("ann", "hello")
    assert reply["conversation_id"] == made["conversation_id"]
    assert not reply["created"]
    assert anywhere.get("/sessions/ann")["turns"] == 1


def test_edits_merge_and_turns_do_not_disturb_an_editor(anywhere: House) -> None:
    anywhere.make("ann", data={"keep": 1, "drop": 2})
    before = anywhere.ask("GET", "/sessions/ann").headers["ETag"]
    assert before.startswith('"')
    anywhere.say("ann", "hello")
    body = {"data": {"drop": None, "new": [3]}, "metadata": {"m": "1"}, "status": "completed"}
    edited = anywhere.ask("PATCH", "/sessions/ann", body, If_Match=before)
    assert edited.status_code == 200
    shown = edited.get_json()
    assert (shown["data"], shown["metadata"], shown["status"]) == ({"keep": 1, "new": [3]}, {"m": "1"}, "completed")
    assert edited.headers["ETag"] != before
    refused = anywhere.error(412, "PATCH", "/sessions/ann", {"data": {"late": 1}}, If_Match=before)
    assert refused["code"] == "version_mismatch"
    assert anywhere.get("/sessions/ann") == shown


def test_the_directory_finds_sessions_by_all_that_they_have(anywhere: House) -> None:
    for name, who in (("shop.1", "u"), ("shop.2", "u"), ("desk.1", "u"), ("desk.2", "v")):
        anywhere.make(name, user_id=who)
    anywhere.say("shop.1", "used last")
    assert anywhere.ids()[0] == "shop.1"
    assert sorted(anywhere.ids("?prefix=shop.")) == ["shop.1", "shop.2"]
    assert anywhere.ids("?user_id=v") == ["desk.2"]
    anywhere.ask("PATCH", "/sessions/shop.1", {"status": "abandoned"})
    assert anywhere.ids("?user_id=u&status=active&limit=1")[0] in {"shop.2", "desk.1"}
    assert anywhere.ids("?status=abandoned") == ["shop.1"]
    used = anywhere.get("/sessions/shop.1")["last_used"]
    assert "shop.1" not in anywhere.ids(f"?used_before={used}")
    first = anywhere.get("/sessions?limit=3")
    rest = anywhere.get(f"/sessions?limit=3&after={first['next']}")
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    assert len({session["session_id"] for page in (first, rest) for session in page["data"]}) == 4


def test_any_number_of_items_is_added_in_order_and_taken_away_again(anywhere: House) -> None:
    anywhere.make("ann")
    added = anywhere.add("ann", *(user(f"word {number}") for number in range(45)))
    assert (added["object"], len(added["data"]), added["has_more"]) == ("list", 45, False)
    assert texts(anywhere.items("ann")) == [f"word {number}" for number in range(45)]
    newest = anywhere.get("/sessions/ann/items?order=desc&limit=2")
    assert texts(newest["data"]) == ["word 44", "word 43"]
    assert anywhere.post("/sessions/ann/items/pop")["id"] == newest["first_id"]
    anywhere.delete(f"/sessions/ann/items/{newest['last_id']}")
    assert texts(anywhere.items("ann")) == [f"word {number}" for number in range(43)]
    assert anywhere.error(404, "DELETE", f"/sessions/ann/items/{newest['last_id']}")["code"] == "not_found"
    assert anywhere.delete("/sessions/ann/items")["items_deleted"] == 43
    assert anywhere.items("ann") == []
    assert anywhere.error(404, "POST", "/sessions/ann/items/pop")["code"] == "not_found"


def test_adding_stops_where_it_fails_and_says_how_far_it_came(anywhere: House) -> None:
    anywhere.make("ann")
    anywhere.provider.fail("add_items", first=1)
    items = [user(f"word {number}") for number in range(45)]
    error = anywhere.error(502, "POST", "/sessions/ann/items", {"items": items})
    assert (error["code"], error["items_added"]) == ("provider_error", 20)
    anywhere.provider.heal()
    assert len(anywhere.items("ann")) == 20
    anywhere.add("ann", *items[20:])
    assert texts(anywhere.items("ann")) == [f"word {number}" for number in range(45)]


def test_a_reset_forgets_the_history_and_nothing_else(anywhere: House) -> None:
    old = anywhere.make("ann", user_id="u", data={"a": 1})
    anywhere.say("ann", "the old word")
    new = anywhere.post("/sessions/ann/reset")
    assert new["conversation_id"] != old["conversation_id"]
    assert (new["generation"], new["data"], new["user_id"]) == (2, {"a": 1}, "u")
    assert (new["items_copied"], new["items_skipped"], new["old_conversation"]) == (0, 0, "erased")
    assert anywhere.items("ann") == []
    assert not anywhere.exists_at_provider(old["conversation_id"])
    assert "old word" not in anywhere.say("ann", "a new word")["output_text"]


def test_a_reset_that_keeps_the_history_copies_what_is_input(anywhere: House) -> None:
    old = anywhere.make("ann")
    anywhere.say("ann", "the old word")
    silent = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    sealed = {**silent, "encrypted_content": "sealed"}
    anywhere.add("ann", CALL, OUTPUT, silent, {"role": "assistant", "content": "so"}, sealed)
    anywhere.add("ann", {"role": "assistant", "content": "there"}, {**CALL, "call_id": "call_dangling"})
    before = anywhere.items("ann")
    new = anywhere.post("/sessions/ann/reset", {"keep_history": True, "erase_old": False})
    assert (new["items_copied"], new["items_skipped"], new["old_conversation"]) == (7, 2, "kept")
    after = anywhere.items("ann")
    kinds = [item["type"] for item in after]
    assert kinds == [
        *("message", "message", "function_call", "function_call_output", "message", "reasoning", "message")
    ]
    assert texts(after) == texts(before)
    assert not {item["id"] for item in before} & {item["id"] for item in after}
    assert anywhere.exists_at_provider(old["conversation_id"])
    assert "the old word" in anywhere.say("ann", "what did I say?")["output_text"]


def test_a_reset_that_fails_leaves_everything_as_it_was(anywhere: House) -> None:
    old = anywhere.make("ann")
    anywhere.add("ann", *(user(f"word {number}") for number in range(45)))
    made: list[str] = []
    create = anywhere.provider.behind.create_conversation
    anywhere.provider.behind.create_conversation = lambda **o: made.append((got := create(**o))["id"]) or got
    anywhere.provider.fail("add_items", first=1, times=1)
    assert anywhere.error(502, "POST", "/sessions/ann/reset", {"keep_history": True})["code"] == "provider_error"
    assert anywhere.get("/sessions/ann") == old
    assert len(anywhere.items("ann")) == 45
    assert len(made) == 1
    # Nor are the items left that were copied before it failed.
    assert anywhere.provider.calls.count("delete_item") == 20
    assert not anywhere.exists_at_provider(made[0])
    assert not anywhere.sessions.erasures()


def test_a_fork_goes_its_own_way(anywhere: House) -> None:
    anywhere.make("ann", user_id="u", data={"a": 1})
    anywhere.say("ann", "a shared word")
    forked = anywhere.post("/sessions/ann/fork", {"session_id": "bob", "user_id": "v"}, 201)
    assert (forked["session_id"], forked["user_id"], forked["data"], forked["items_copied"]) == (
        "bob",
        "v",
        {"a": 1},
        2,
    )
    assert "a shared word" in anywhere.say("bob", "only in the fork")["output_text"]
    assert len(anywhere.items("ann")) == 2
    assert len(anywhere.items("bob")) == 4
    assert anywhere.error(409, "POST", "/sessions/ann/fork", {"session_id": "bob"})["code"] == "session_exists"
    assert anywhere.error(409, "POST", "/sessions/ann/fork", {"session_id": "ann"})["code"] == "session_exists"


def test_a_visitor_who_logs_in_keeps_the_conversation(anywhere: House) -> None:
    visitor = anywhere.make("visitor")
    turn = anywhere.say("visitor", "a word before")["turn_id"]
    renamed = anywhere.post("/sessions/visitor/rename", {"session_id": "ann", "user_id": "u"})
    assert (renamed["session_id"], renamed["user_id"]) == ("ann", "u")
    assert renamed["conversation_id"] == visitor["conversation_id"]
    assert anywhere.error(404, "GET", "/sessions/visitor")["code"] == "session_not_found"
    assert [each["turn_id"] for each in anywhere.get("/sessions/ann/turns")["data"]] == [turn]
    assert "a word before" in anywhere.say("ann", "and after")["output_text"]
    taken = {"session_id": "bob", "user_id": "another"}
    assert anywhere.error(409, "POST", "/sessions/ann/rename", taken)["code"] == "user_mismatch"
    anywhere.make("bob")
    assert anywhere.error(409, "POST", "/sessions/ann/rename", {"session_id": "bob"})["code"] == "session_exists"


def test_turns_are_listed_newest_first_without_their_texts(anywhere: House) -> None:
    said = [anywhere.say("ann", f"word {number}")["turn_id"] for number in range(3)]
    first = anywhere.get("/sessions/ann/turns?limit=2")
    rest = anywhere.get(f"/sessions/ann/turns?limit=2&after={first['next']}")
    assert [turn["turn_id"] for page in (first, rest) for turn in page["data"]] == said[::-1]
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    shown = first["data"][0]
    assert shown.keys() == {"turn_id", "response_id", "state", "started_at", "finished_at", "usage"}
    assert shown["state"] == "completed"
    assert "word 2" in anywhere.get(f"/sessions/ann/turns/{said[2]}")["output_text"]


def test_erasing_leaves_nothing_and_says_what_it_was(anywhere: House) -> None:
    conversation_id = anywhere.make("ann", user_id="u")["conversation_id"]
    response_id = anywhere.say("ann", "a word")["response_id"]
    item_id = anywhere.items("ann")[0]["id"]
    anywhere.provider.calls.clear()
    receipt = anywhere.delete("/sessions/ann")
    deleted = [call for call in anywhere.provider.calls if call.startswith("delete_")]
    assert deleted == ["delete_item", "delete_item", "delete_conversation", "delete_response"]
    assert receipt.pop("erased_at").endswith("Z")
    assert receipt == {
        "session_id": "ann",
        "conversation_id": conversation_id,
        "items_deleted": 2,
        "conversation_deleted": True,
        "responses_deleted": 1,
    }
    assert not anywhere.exists_at_provider(conversation_id)
    for path in (f"conversations/{conversation_id}/items/{item_id}", f"responses/{response_id}"):
        kind = "item" if "items" in path else "response"
        retrieve = getattr(anywhere.provider.behind, f"retrieve_{kind}")
        args = (conversation_id, item_id) if kind == "item" else (response_id,)
        try:
            retrieve(*args)
        except Exception:
            continue
        raise AssertionError(f"the {kind} is still at the provider")
    assert anywhere.ids() == []
    assert anywhere.error(404, "DELETE", "/sessions/ann")["code"] == "session_not_found"


def test_what_the_provider_cannot_erase_now_is_kept_and_finished_by_the_sweeper(
    kind: tuple[str, str], open_house: OpenHouse
) -> None:
    clock = Clock()
    house = open_house(*kind, clock=clock)
    conversation_id = house.make("ann")["conversation_id"]
    house.say("ann", "a word")
    house.provider.fail("delete_conversation")
    begun = house.delete("/sessions/ann", 202)
    assert (begun["session_id"], begun["status"], begun["reason"]) == ("ann", "erasing", "provider_error")
    assert house.get("/sessions/ann")["status"] == "erasing"
    body = {"session_id": "ann", "input_as_text": "hello?"}
    assert house.error(409, "POST", "/workflow", body)["code"] == "turn_busy"
    for path in ("items", "turns", "transcript"):
        assert house.error(404, "GET", f"/sessions/ann/{path}")["code"] == "session_not_found"
    assert house.error(404, "PATCH", "/sessions/ann", {"data": {"a": 1}})["code"] == "session_not_found"
    assert house.delete("/sessions/ann", 202)["status"] == "erasing"
    # It has just failed, and is let rest.
    assert house.sweeper.sweep().failed == 0
    clock.advance(30)
    failed = house.sweeper.sweep()
    assert (failed.erased, failed.failed) == (0, 1)
    house.provider.heal()
    clock.advance(60)
    done = house.sweeper.sweep()
    assert (done.erased, done.responses_deleted, done.failed) == (1, 1, 0)
    assert house.sweeper.totals.failed == 1
    assert not house.exists_at_provider(conversation_id)
    assert house.error(404, "GET", "/sessions/ann")["code"] == "session_not_found"
    assert not house.sessions.erasures()


def test_the_old_conversation_of_a_reset_is_finished_by_the_sweeper(
    kind: tuple[str, str], open_house: OpenHouse
) -> None:
    clock = Clock()
    house = open_house(*kind, clock=clock)
    old = house.make("ann")["conversation_id"]
    house.say("ann", "a word")
    house.provider.fail("delete_item")
    assert house.post("/sessions/ann/reset")["old_conversation"] == "erasing"
    house.provider.heal()
    house.say("ann", "a new word")
    clock.advance(30)
    done = house.sweeper.sweep()
    assert (done.erased, done.items_deleted, done.responses_deleted) == (1, 2, 1)
    assert not house.exists_at_provider(old)
    assert len(house.items("ann")) == 2


def test_a_session_can_be_forgotten_without_its_conversation(anywhere: House) -> None:
    conversation_id = anywhere.make("ann")["conversation_id"]
    receipt = anywhere.delete("/sessions/ann?keep_conversation=true")
    assert (receipt["conversation_id"], receipt["conversation_deleted"]) == (conversation_id, False)
    assert anywhere.exists_at_provider(conversation_id)
    assert anywhere.ids() == []
    assert anywhere.say("ann", "hello")["conversation_id"] != conversation_id


def test_every_session_of_a_user_is_erased(anywhere: House) -> None:
    for number in range(4):
        anywhere.make(f"u-{number}", user_id="u")
    anywhere.make("other", user_id="v")
    # The third one fails for good, and does not keep the fourth from going.
    stuck = anywhere.get("/sessions/u-2")["conversation_id"]
    anywhere.provider.refuse(
        "delete_conversation", lambda args: ProviderUnavailableError(in_doubt=True) if args[0] == stuck else None
    )
    found = anywhere.delete("/sessions?user_id=u", 202)
    assert (found["erased"], found["erasing"], len(found["data"])) == (3, 1, 3)
    assert sorted(anywhere.ids()) == ["other", "u-2"]
    anywhere.provider.heal()
    assert anywhere.delete("/sessions?user_id=u")["erased"] == 1
    assert anywhere.ids() == ["other"]
    assert anywhere.delete("/sessions?user_id=u") == {"object": "list", "data": [], "erased": 0, "erasing": 0}


def test_a_late_writer_does_not_bring_an_erased_session_back(kind: tuple[str, str], open_house: OpenHouse) -> None:
    house = open_house(*kind, lease_seconds=1.0, settings={"busy_wait_seconds": 20.0})
    house.make("ann")
    with house.sessions.turn(key("ann")) as late:
        late.begin()
        stop_renewing(house.sessions, late)
        wait_until_dead(house.sessions, key("ann"), late.record.turn_id)
        house.delete("/sessions/ann")
        for write in (lambda: late.note("resp_late"), lambda: late.finish(TurnState.COMPLETED)):
            try:
                write()
            except TurnLostError:
                continue
            raise AssertionError("a turn of an erased session could still write")
    assert house.ids() == []
    assert house.error(404, "GET", "/sessions/ann")["code"] == "session_not_found"


def test_an_expired_session_is_gone_and_so_is_its_conversation_when_asked_for(
    kind: tuple[str, str], open_house: OpenHouse
) -> None:
    clock = Clock()
    house = open_house(*kind, clock=clock, lifetime=Lifetime(idle_seconds=600), erase_expired=True)
    conversation_id = house.make("ann")["conversation_id"]
    house.say("ann", "a word")
    clock.advance(500)
    house.get("/sessions/ann")
    young = house.make("bob")
    clock.advance(100)
    assert house.error(404, "GET", "/sessions/ann")["code"] == "session_not_found"
    assert house.ids() == ["bob"]
    done = house.sweeper.sweep()
    assert (done.expired, done.erased, done.items_deleted, done.responses_deleted) == (1, 1, 2, 1)
    assert not house.exists_at_provider(conversation_id)
    assert house.get("/sessions/bob") == young


def test_a_purge_erases_by_age_and_status(kind: tuple[str, str], open_house: OpenHouse) -> None:
    clock = Clock()
    house = open_house(*kind, clock=clock)
    for name in ("old-done", "old-active", "old-busy"):
        house.make(name)
    for name in ("old-done", "old-busy"):
        house.ask("PATCH", f"/sessions/{name}", {"status": "completed"})
    clock.advance(3600)
    house.make("new-done")
    house.ask("PATCH", "/sessions/new-done", {"status": "completed"})
    month_ago = house.sessions.now() - 1000 * 1000
    with house.sessions.turn(key("old-busy")):
        found = list(purge(house.eraser, used_before=month_ago, status=Status.COMPLETED))
    assert [(type(each), each.session_id) for each in found if not isinstance(each, Skipped)] == [(Receipt, "old-done")]
    assert Skipped("old-busy") in found
    assert sorted(house.ids()) == ["new-done", "old-active", "old-busy"]
    house.provider.fail("delete_conversation", times=1)
    again = list(purge(house.eraser, used_before=month_ago))
    assert sorted(type(each) is Unfinished for each in again) == [False, True]


def test_the_first_items_make_the_session(anywhere: House) -> None:
    added = anywhere.add("ann", *(user(f"word {number}") for number in range(45)))
    assert len(added["data"]) == 45
    session = anywhere.get("/sessions/ann")
    assert (session["generation"], session["turns"], session["user_id"]) == (1, 0, None)
    assert texts(anywhere.items("ann")) == [f"word {number}" for number in range(45)]
    assert "word 44" in anywhere.say("ann", "What did I say?")["output_text"]
    anywhere.add("ann", user("more"))
    assert anywhere.get("/sessions/ann")["conversation_id"] == session["conversation_id"]


def test_first_items_that_fail_leave_nothing(anywhere: House) -> None:
    anywhere.provider.fail("add_items", ProviderError(), first=1)
    error = anywhere.error(502, "POST", "/sessions/ann/items", {"items": [user("word")] * 45})
    assert "items_added" not in error
    assert anywhere.ids() == []
    calls = anywhere.provider.calls
    assert calls.count("create_conversation") == calls.count("delete_conversation") == 1


@pytest.mark.parametrize("end", ["reset", "erase"])
def test_a_key_outlives_the_conversation_that_its_turn_was_in(anywhere: House, end: str) -> None:
    house = anywhere
    body = {"session_id": "s1", "input_as_text": "once"}
    house.ask("POST", "/workflow", body, Idempotency_Key="key-1")
    if end == "reset":
        house.post("/sessions/s1/reset", {})
    else:
        house.delete("/sessions/s1")
    again = house.ask("POST", "/workflow", body, Idempotency_Key="key-1")
    assert (again.status_code, again.json["error"]["code"]) == (409, "turn_lost")
    assert "erased since" in again.json["error"]["message"]
    other = house.ask("POST", "/workflow", {**body, "input_as_text": "another"}, Idempotency_Key="key-1")
    assert other.json["error"]["code"] == "idempotency_key_reused"
    assert house.ids() == (["s1"] if end == "reset" else [])
