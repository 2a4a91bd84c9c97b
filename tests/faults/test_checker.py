"""The checker finds every breach: histories made by hand, each with one, and a good one with none."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.checker import RULES, check
from tests.soak.history import Asked, Attempt, Disturbance, History, Item, Made, Message, Outcome, Record

Spoil = Callable[[History], None]


def good() -> History:
    """Two messages of one client, acknowledged one after the other; one with a key that was sent twice."""
    reply = {"conversation_id": "conv_a", "generation": 1, "replayed": False}
    first = Message("ann-0", "ann", "room")
    first.attempts.append(_acknowledged(1, 2, reply | {"turn_id": "turn_0", "output_text": 'You said: "note ann-0"'}))
    second = Message("ann-1", "ann", "room", key="k")
    said = reply | {"turn_id": "turn_1", "output_text": 'You said: "note ann-1"'}
    second.attempts += [_acknowledged(3, 4, said), _acknowledged(5, 6, said | {"replayed": True})]
    return History(
        messages=[first, second],
        asked=[Asked("gw", "conv_a", 1.1, 1.9), Asked("gw", "conv_a", 3.1, 3.9)],
        made=[Made("gw", "conv_a", "room", 1, 1.0)],
        conversations={"conv_a": _items("ann-0", "ann-1")},
        sessions={"room": {"conversation_id": "conv_a", "generation": 1, "turns": 2}},
        records={name: Record(name, "room", "completed", None) for name in ("turn_0", "turn_1")},
    )


def _acknowledged(begun: float, ended: float, reply: dict[str, object]) -> Attempt:
    return Attempt("gw", begun, ended, Outcome.ACKNOWLEDGED, 200, reply=reply)


def _items(*tokens: str) -> list[Item]:
    said = [
        item for token in tokens for item in (("user", f"note {token}"), ("assistant", f'You said: "note {token}"'))
    ]
    return [Item(place, f"msg_{place}", role, text) for place, (role, text) in enumerate(said)]


# --- One breach each ------------------------------------------------------------------------------------------


def two_conversations_told(history: History) -> None:
    reply = history.messages[1].attempts[0].reply
    assert reply is not None
    for attempt in history.messages[1].attempts:
        attempt.reply = reply | {"conversation_id": "conv_b"}
    history.conversations = {"conv_a": _items("ann-0"), "conv_b": _items("ann-1")}


def two_conversations_at_the_provider(history: History) -> None:
    history.made.append(Made("gw", "conv_b", "room", 1, 1.0))
    history.conversations["conv_b"] = _items("somebody-0")


def two_turns_at_once(history: History) -> None:
    history.asked[1] = replace(history.asked[1], begun=1.5, gateway="other")


def two_turns_at_once_long_after_a_pause(history: History) -> None:
    two_turns_at_once(history)
    history.disturbances.append(Disturbance("pause", "gw", -10, -9))


def two_turns_at_once_while_another_gateway_was_paused(history: History) -> None:
    two_turns_at_once(history)
    history.disturbances.append(Disturbance("pause", "third", 1.2, 1.4))


def two_turns_at_once_a_while_after_its_own_pause(history: History) -> None:
    two_turns_at_once(history)
    history.disturbances.append(Disturbance("pause", "other", -2, 1.3))


def an_acknowledged_message_is_not_there(history: History) -> None:
    history.conversations["conv_a"] = _items("ann-0")


def an_acknowledged_message_is_elsewhere(history: History) -> None:
    history.made.append(Made("gw", "conv_b", "room2", 1, 1.0))
    history.sessions["room2"] = {"conversation_id": "conv_b", "generation": 1, "turns": 0}
    history.conversations = {"conv_a": _items("ann-0"), "conv_b": _items("ann-1")}


def somebody_elses_words(history: History) -> None:
    for attempt in history.messages[1].attempts:
        assert attempt.reply is not None
        attempt.reply = attempt.reply | {"output_text": 'You said: "note ann-0"'}


def a_key_that_ran_twice(history: History) -> None:
    history.conversations["conv_a"] = _items("ann-0", "ann-1", "ann-1")


def an_unknown_message_that_ran_twice(history: History) -> None:
    message = Message("ann-2", "ann", "room", attempts=[Attempt("gw", 7, 8, Outcome.UNKNOWN)])
    history.messages.append(message)
    history.conversations["conv_a"] = _items("ann-0", "ann-1", "ann-2", "ann-2")


def a_key_with_two_answers(history: History) -> None:
    again = history.messages[1].attempts[1]
    assert again.reply is not None
    again.reply = again.reply | {"turn_id": "turn_0"}


def a_refused_message_is_there(history: History) -> None:
    message = Message("ann-2", "ann", "room", attempts=[Attempt("gw", 7, 8, Outcome.REFUSED, 409, "turn_busy")])
    history.messages.append(message)
    history.conversations["conv_a"] = _items("ann-0", "ann-1", "ann-2")


def the_wrong_order(history: History) -> None:
    history.conversations["conv_a"] = _items("ann-1", "ann-0")


def an_acknowledged_turn_without_a_record(history: History) -> None:
    del history.records["turn_1"]


def a_failed_record_of_a_turn_that_is_there(history: History) -> None:
    left = Message("ann-2", "ann", "room", turn_id="turn_2", attempts=[Attempt("gw", 7, 8, Outcome.LEFT, 200)])
    history.messages.append(left)
    history.records["turn_2"] = Record("turn_2", "room", "failed", None)
    history.conversations["conv_a"] = _items("ann-0", "ann-1", "ann-2")


def a_completed_record_of_a_turn_that_is_not(history: History) -> None:
    left = Message("ann-2", "ann", "room", turn_id="turn_2", attempts=[Attempt("gw", 7, 8, Outcome.LEFT, 200)])
    history.messages.append(left)
    history.records["turn_2"] = Record("turn_2", "room", "completed", None)


def a_turn_that_was_counted_twice(history: History) -> None:
    history.sessions["room"]["turns"] = 3


def a_turn_that_was_not_counted(history: History) -> None:
    history.sessions["room"]["turns"] = 0


def a_session_that_takes_no_turn(history: History) -> None:
    stuck = Attempt("gw", 9, 10, Outcome.REFUSED, 409, "turn_busy")
    history.messages.append(Message("calm-0", "calm", "room", attempts=[stuck]))


def an_orphan(history: History) -> None:
    history.made.append(Made("gw", "conv_b", "room", 1, 1.0))
    history.conversations["conv_b"] = []


def an_orphan_long_before_a_kill(history: History) -> None:
    an_orphan(history)
    history.disturbances.append(Disturbance("kill", "gw", 100, 101))


def an_orphan_of_whose_loss_nobody_heard(history: History) -> None:
    an_orphan(history)
    history.made[1] = replace(history.made[1], answered=False)


def an_orphan_of_a_gateway_that_was_not_the_one_paused(history: History) -> None:
    an_orphan(history)
    history.disturbances.append(Disturbance("pause", "another", 0, 2))
    history.logs["gw"] = ["a conversation may be an orphan at the provider: the answer with its id was lost"]


def an_internal_error(history: History) -> None:
    history.messages.append(
        Message("ann-2", "ann", "room", attempts=[Attempt("gw", 7, 8, Outcome.UNKNOWN, 500, "internal_error")])
    )


def a_traceback(history: History) -> None:
    history.logs["gw"] = ["Traceback (most recent call last):", "ValueError: no"]


BREACHES: list[tuple[Spoil, str]] = [
    (two_conversations_told, "one_conversation_a_generation"),
    (two_conversations_at_the_provider, "one_conversation_a_generation"),
    (two_turns_at_once, "one_turn_at_a_time"),
    (two_turns_at_once_long_after_a_pause, "one_turn_at_a_time"),
    (two_turns_at_once_while_another_gateway_was_paused, "one_turn_at_a_time"),
    (two_turns_at_once_a_while_after_its_own_pause, "one_turn_at_a_time"),
    (an_acknowledged_message_is_not_there, "acknowledged_once"),
    (an_acknowledged_message_is_elsewhere, "acknowledged_once"),
    (somebody_elses_words, "acknowledged_once"),
    (a_key_that_ran_twice, "never_twice"),
    (an_unknown_message_that_ran_twice, "never_twice"),
    (a_key_with_two_answers, "never_twice"),
    (a_refused_message_is_there, "what_was_refused_did_not_happen"),
    (the_wrong_order, "in_order"),
    (an_acknowledged_turn_without_a_record, "records_tell_the_truth"),
    (a_failed_record_of_a_turn_that_is_there, "records_tell_the_truth"),
    (a_completed_record_of_a_turn_that_is_not, "records_tell_the_truth"),
    (a_turn_that_was_counted_twice, "records_tell_the_truth"),
    (a_turn_that_was_not_counted, "records_tell_the_truth"),
    (a_session_that_takes_no_turn, "no_session_is_stuck"),
    (an_orphan, "no_silent_orphans"),
    (an_orphan_long_before_a_kill, "no_silent_orphans"),
    (an_orphan_of_whose_loss_nobody_heard, "no_silent_orphans"),
    (an_orphan_of_a_gateway_that_was_not_the_one_paused, "no_silent_orphans"),
    (an_internal_error, "no_defects"),
    (a_traceback, "no_defects"),
]


@pytest.mark.parametrize(("spoil", "rule"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_breach_is_found_by_its_rule(spoil: Spoil, rule: str) -> None:
    history = good()
    spoil(history)
    assert rule in {breach.partition(":")[0] for breach in check(history)}


def test_every_rule_can_fail() -> None:
    assert {rule for _, rule in BREACHES} == {rule.__name__ for rule in RULES}


# --- What is no breach ----------------------------------------------------------------------------------------


def test_a_good_history_has_none() -> None:
    assert check(good()) == []


def test_a_paused_gateway_may_miss_an_answer_that_was_given_and_says_so() -> None:
    history = good()
    an_orphan(history)
    history.disturbances.append(Disturbance("pause", "gw", 0, 2))
    history.logs["gw"] = ["a conversation may be an orphan at the provider: the answer with its id was lost"]
    assert check(history) == []


@pytest.mark.parametrize(
    "disturbance",
    [
        Disturbance("pause", "gw", 1.2, 1.4),
        Disturbance("crash", None, 0.0, 0.5),
        Disturbance("pause", "other", -2, 1.49),
    ],
    ids=["paused", "store", "paused as it spoke"],
)
def test_who_could_not_know_that_it_lost_its_turn_is_excused(disturbance: Disturbance) -> None:
    history = good()
    two_turns_at_once(history)
    history.disturbances.append(disturbance)
    assert check(history) == []


def test_who_hung_up_no_longer_asks() -> None:
    history = good()
    two_turns_at_once(history)
    history.asked[0] = replace(history.asked[0], hung_up=True)
    assert check(history) == []


def test_an_orphan_that_a_log_names_is_accounted_for() -> None:
    history = good()
    an_orphan(history)
    history.logs["gw"] = ["conversation conv_b may be an orphan at the provider: the store went away"]
    assert check(history) == []


def test_of_lost_answers_each_line_accounts_for_one_orphan() -> None:
    history = good()
    an_orphan_of_whose_loss_nobody_heard(history)
    history.logs["gw"] = ["a conversation of turn turn_0 may be an orphan at the provider"]
    assert check(history) == []
    history.made.append(replace(history.made[1], conversation_id="conv_c"))
    history.conversations["conv_c"] = []
    assert len(check(history)) == 1


def test_what_was_bound_for_a_while_is_no_orphan() -> None:
    history = good()
    history.made.append(Made("gw", "conv_b", "room2", 1, 1.0))
    history.conversations["conv_b"] = []
    history.sessions["room2"] = {"conversation_id": "conv_c", "generation": 2, "turns": 0}
    assert check(history) == []
    # Of two one was not.
    history.made.append(Made("gw", "conv_d", "room2", 1, 1.0))
    history.conversations["conv_d"] = []
    assert len(check(history)) == 2
    history.asked.append(Asked("gw", "conv_b", 1.1, 1.2))
    assert len(check(history)) == 1


def test_the_dead_cannot_tell_of_their_orphans() -> None:
    history = good()
    an_orphan(history)
    history.disturbances.append(Disturbance("kill", "gw", 1.5, 2))
    assert check(history) == []
