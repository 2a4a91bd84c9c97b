"""Holds a history against the promises. Each rule below is one promise, and yields a line for each breach of it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from tests.soak.history import Asked, History, Item, Made, Message, Outcome

LEASE_SECONDS = 2.0
"""How long a gateway that is cut off may be believed to hold its sessions."""
WAKING_SECONDS = 0.03
"""In this time after a pause a gateway says what it was just about to say."""
KILL_SECONDS = 15.0
"""How long the making of a conversation may be on its way (the store's time-outs included) when its gateway dies."""
ANSWERED = {"completed", "incomplete", "requires_action"}

Rule = Callable[[History], Iterator[str]]


def check(history: History) -> list[str]:
    """Every breach of a promise, in words that name it."""
    return [f"{rule.__name__}: {breach}" for rule in RULES for breach in rule(history)]


def one_conversation_a_generation(history: History) -> Iterator[str]:
    """A generation of a session is one conversation, to everybody who was told of it and at the provider."""
    told: dict[tuple[str, int], set[str]] = defaultdict(set)
    for message in history.messages:
        for attempt in message.attempts:
            if attempt.reply is not None:
                place = message.session_id, attempt.reply["generation"]
                told[place].add(attempt.reply["conversation_id"])
    for session_id, session in history.sessions.items():
        told[session_id, session["generation"]].add(session["conversation_id"])
    for made in history.made:
        if history.conversations.get(made.conversation_id):
            told[made.session_id, made.generation].add(made.conversation_id)
    for (session_id, generation), conversations in told.items():
        if len(conversations) > 1:
            yield f"generation {generation} of {session_id} is {sorted(conversations)}"


def one_turn_at_a_time(history: History) -> Iterator[str]:
    """No gateway asks for a response while another is asked for in the same conversation, unless the first one's was
    hung up on, or one of them could not know that it had lost its turn: it was cut off, or paused as it spoke."""
    asked_in: dict[str, list[Asked]] = defaultdict(list)
    for asked in history.asked:
        asked_in[asked.conversation_id].append(asked)
    for conversation_id, all_asked in asked_in.items():
        ordered = sorted(all_asked, key=lambda asked: asked.begun)
        for number, second in enumerate(ordered):
            for first in ordered[:number]:
                if first.ended > second.begun and not first.hung_up and not _was_disturbed(history, first, second):
                    yield f"{conversation_id}: {second.gateway} asked while {first.gateway} did, at {second.begun:.2f}"


def _was_disturbed(history: History, first: Asked, second: Asked) -> bool:
    return any(
        (
            disturbance.gateway in (None, first.gateway)
            and disturbance.begun <= second.begun
            and disturbance.ended + LEASE_SECONDS >= first.begun
        )
        or (disturbance.gateway == second.gateway and 0 <= second.begun - disturbance.ended <= WAKING_SECONDS)
        for disturbance in history.disturbances
    )


def acknowledged_once(history: History) -> Iterator[str]:
    """An acknowledged message is in its conversation once, with the reply that its client was given."""
    for message in history.messages:
        places = _places(history, message)
        for attempt in message.attempts:
            if attempt.outcome is not Outcome.ACKNOWLEDGED:
                continue
            reply = attempt.reply or {}
            if [conversation_id for conversation_id, _ in places] != [reply["conversation_id"]]:
                yield f"{message.token} was acknowledged in {reply['conversation_id']} and is in {places}"
                continue
            items = history.conversations[reply["conversation_id"]]
            said = [item.text for item in items if item.role == "assistant"].count(reply["output_text"])
            if said != 1 or message.text not in reply["output_text"]:
                yield f"{message.token} got {reply['output_text'][:60]!r}, which is there {said} times"


def never_twice(history: History) -> Iterator[str]:
    """No message is in the provider's history twice: neither a key's, however often it was sent, nor another's."""
    for message in history.messages:
        places = _places(history, message)
        if len(places) > 1:
            yield f"{message.token} ({'with' if message.key else 'without'} a key) is in {places}"
        replies = [attempt.reply for attempt in message.attempts if attempt.reply is not None]
        for first, second in pairwise(replies):
            if any(first[name] != second[name] for name in ("turn_id", "output_text", "conversation_id")):
                yield f"{message.token} was answered in two ways: {first['turn_id']} and {second['turn_id']}"


def what_was_refused_did_not_happen(history: History) -> Iterator[str]:
    """An error with `x-should-retry: true` says that the turn surely did not start."""
    for message in history.messages:
        if message.surely_refused and (places := _places(history, message)):
            codes = [attempt.code for attempt in message.attempts]
            yield f"{message.token} was refused ({codes}) and is in {places}"


def in_order(history: History) -> Iterator[str]:
    """What a session acknowledged before something else was even said stands before it in the history."""
    placed: dict[str, list[tuple[int, int, Message]]] = defaultdict(list)
    for message in history.messages:
        if message.acknowledged is not None:
            reply = message.acknowledged.reply or {}
            for conversation_id, item in _places(history, message):
                if conversation_id == reply["conversation_id"]:
                    placed[message.session_id].append((reply["generation"], item.place, message))
    for session_id, found in placed.items():
        latest: Message | None = None
        for _, _, message in sorted(found, key=lambda entry: entry[:2]):
            assert message.acknowledged is not None
            if latest is not None and message.acknowledged.ended < latest.attempts[0].begun:
                yield f"{session_id}: {message.token} comes after {latest.token}, said when it was acknowledged already"
            if latest is None or message.attempts[0].begun > latest.attempts[0].begun:
                latest = message


def records_tell_the_truth(history: History) -> Iterator[str]:
    """A turn's record says completed only if the turn is in the history, and failed only if it is not; what was
    acknowledged is recorded, and counted."""
    acknowledged: dict[str, set[str]] = defaultdict(set)
    for message in history.messages:
        turns = {it.reply["turn_id"]: it.reply["replayed"] for it in message.attempts if it.reply is not None}
        for turn_id, replayed in turns.items():
            if (record := history.records.get(turn_id)) is None or record.state not in ANSWERED:
                yield f"{message.token} was acknowledged and its turn is {record}"
            if not replayed:
                acknowledged[message.session_id].add(turn_id)
        if not turns and message.turn_id is not None and len(message.attempts) == 1:
            record = history.records.get(message.turn_id)
            happened = bool(_places(history, message))
            if record is None:
                yield f"{message.token} began and its turn {message.turn_id} is not recorded"
            elif (record.state in ANSWERED and not happened) or (record.state == "failed" and happened):
                yield f"{message.token} is recorded as {record.state} and {'took' if happened else 'took no'} place"
    answered: dict[str, int] = defaultdict(int)
    for record in history.records.values():
        answered[record.session_id] += record.state in ANSWERED
    for session_id, session in history.sessions.items():
        # A turn that was settled after a crash is answered, and is not counted.
        if not len(acknowledged[session_id]) <= session["turns"] <= answered[session_id]:
            found = f"{len(acknowledged[session_id])} acknowledged, {answered[session_id]} answered"
            yield f"{session_id} counts {session['turns']} turns: {found}"


def no_session_is_stuck(history: History) -> Iterator[str]:
    """After the storm every session takes a turn again."""
    for message in history.messages:
        if message.client == "calm" and message.acknowledged is None:
            yield f"{message.session_id} answered {[(it.status, it.code) for it in message.attempts[-3:]]}"


def no_silent_orphans(history: History) -> Iterator[str]:
    """A conversation that no session ever was bound to is named in a log, unless its maker was killed just then."""
    generations = Counter((made.session_id, made.generation) for made in history.made if made.answered)
    bound = {session["conversation_id"] for session in history.sessions.values()}
    # Only a bound conversation is asked anything.
    bound |= {asked.conversation_id for asked in history.asked}
    for message in history.messages:
        bound |= {attempt.reply["conversation_id"] for attempt in message.attempts if attempt.reply is not None}
    logged = set()
    unnamed = 0
    for lines in history.logs.values():
        for line in lines:
            if "orphan" in line:
                named = re.findall(r"conv_\w+", line)
                logged |= set(named)
                unnamed += not named
    for made in history.made:
        if made.conversation_id in bound | logged | history.deleted:
            continue
        session = history.sessions.get(made.session_id)
        replaced = session is not None and made.generation < session["generation"]
        if replaced and generations[made.session_id, made.generation] == 1:
            # Bound once, and lost before anybody was told of it.
            continue
        # A gateway that stands still does not hear the answer in time, though it was given.
        if unnamed and (not made.answered or _was_paused(history, made)):
            unnamed -= 1
            continue
        if not _was_killed(history, made):
            yield f"{made.conversation_id}, made by {made.gateway} for {made.session_id}, is bound to nobody"


def _was_killed(history: History, made: Made) -> bool:
    return any(
        disturbance.kind in ("kill", "terminate")
        and disturbance.gateway == made.gateway
        and made.at - 1 <= disturbance.begun <= made.at + KILL_SECONDS
        for disturbance in history.disturbances
    )


def _was_paused(history: History, made: Made) -> bool:
    return any(
        disturbance.kind == "pause"
        and disturbance.gateway == made.gateway
        and disturbance.begun <= made.at <= disturbance.ended
        for disturbance in history.disturbances
    )


def no_defects(history: History) -> Iterator[str]:
    """A 500 is a defect, and so is a traceback."""
    for message in history.messages:
        for attempt in message.attempts:
            if attempt.status == 500 or attempt.code == "internal_error":
                yield f"{message.token} got a 500 of {attempt.gateway}"
    for gateway, lines in history.logs.items():
        for number, line in enumerate(lines):
            if "in a way that it should not" in line or line.startswith("Traceback"):
                yield f"{gateway} logged {line!r}, up to {lines[min(number + 60, len(lines)) - 1]!r}"


RULES: tuple[Rule, ...] = (
    one_conversation_a_generation,
    one_turn_at_a_time,
    acknowledged_once,
    never_twice,
    what_was_refused_did_not_happen,
    in_order,
    records_tell_the_truth,
    no_session_is_stuck,
    no_silent_orphans,
    no_defects,
)


def _places(history: History, message: Message) -> list[tuple[str, Item]]:
    """Where the message stands in the provider's conversations."""
    return history.said.get(message.text, [])
