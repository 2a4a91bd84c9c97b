-- What a store in sqlite says, as SQLAlchemy compiles it.

-- tickets.enter_free: Enters a session in whose queue nobody is, and holds it at once.
INSERT INTO gateway_turns (turn_id, tenant, session_id, owner, workflow, idempotency_key, fingerprint, entered_at, started_at, prune_at, state, lease_until, created, recovered, undelivered, place, fence)
SELECT :turn_id AS turn_id, :tenant AS tenant, :session_id AS session_id, :owner AS owner, :workflow AS workflow, :idempotency_key AS idempotency_key, :fingerprint AS fingerprint, :entered_at AS entered_at, :started_at AS started_at, :prune_at AS prune_at, :param_1 AS state, :tick + :lease_us AS lease_until, 0 AS created, 0 AS recovered, 0 AS undelivered, :param_2 AS place, :fence AS fence
FROM (SELECT 1 AS one) AS single
WHERE NOT (EXISTS (SELECT gateway_turns.turn_id
FROM gateway_turns
WHERE gateway_turns.tenant = :tenant AND gateway_turns.session_id = :session_id AND gateway_turns.place >= :place_1)) AND NOT (EXISTS (SELECT gateway_turns.turn_id
FROM gateway_turns
WHERE gateway_turns.tenant = :tenant AND gateway_turns.session_id = :session_id AND gateway_turns.fence >= :fence));

-- tickets.enter_queue: Enters behind all who wait, if not too many do.
INSERT INTO gateway_turns (turn_id, tenant, session_id, owner, workflow, idempotency_key, fingerprint, entered_at, started_at, prune_at, state, lease_until, created, recovered, undelivered, place)
SELECT :turn_id AS turn_id, :tenant AS tenant, :session_id AS session_id, :owner AS owner, :workflow AS workflow, :idempotency_key AS idempotency_key, :fingerprint AS fingerprint, :entered_at AS entered_at, :started_at AS started_at, :prune_at AS prune_at, :param_1 AS state, :tick + :lease_us AS lease_until, 0 AS created, 0 AS recovered, 0 AS undelivered, CASE WHEN (line.last >= :tick) THEN line.last + :last_1 ELSE :tick END AS place
FROM (SELECT count(*) AS length, max(gateway_turns.place) AS last
FROM gateway_turns
WHERE gateway_turns.tenant = :tenant AND gateway_turns.session_id = :session_id AND gateway_turns.place > :place_1) AS line
WHERE line.length < :queue_limit;

-- tickets.queue: Who holds the session and who waits, in their order.
SELECT gateway_turns.turn_id, gateway_turns.place, gateway_turns.fence, gateway_turns.state, gateway_turns.owner, gateway_turns.lease_until > :tick AS leased, gateway_turns.lease_until > :tick + :two_leases_us AS too_long
FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.place >= :place_1
ORDER BY gateway_turns.place;

-- tickets.top_fence: The highest fence that a turn of the session has had.
SELECT max(gateway_turns.fence) AS max_1
FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session;

-- tickets.grant: Lets in the first who waits, with a fence higher than all before; the unique index refuses a second.
UPDATE gateway_turns
SET place=:place, fence=:higher
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place = :at AND gateway_turns.lease_until > :tick AND NOT (EXISTS (SELECT top.fence
FROM (SELECT max(gateway_turns.fence) AS fence
FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session) AS top
WHERE top.fence >= :higher));

-- tickets.check: Whether the turn holds its session; until the transaction's end it stays so.
SELECT gateway_turns.turn_id
FROM gateway_turns
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place = :place_1;

-- tickets.renew: Begins the leases anew of those that nobody passed over.
UPDATE gateway_turns
SET lease_until=(:tick + :lease_us)
WHERE gateway_turns.turn_id IN (:tickets, …) AND gateway_turns.place >= :place_1;

-- tickets.renewed: Which those are.
SELECT gateway_turns.turn_id
FROM gateway_turns
WHERE gateway_turns.turn_id IN (:tickets, …) AND gateway_turns.place >= :place_1;

-- tickets.shorten: Brings down a lease that is longer than any that is given.
UPDATE gateway_turns
SET lease_until=(:tick + :two_leases_us)
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place >= :place_1 AND gateway_turns.lease_until > :tick + :two_leases_us;

-- tickets.bury_waiting: Passes over a dead ticket that had not begun: nothing stays of it.
DELETE FROM gateway_turns
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place = :at AND (gateway_turns.lease_until <= :tick OR gateway_turns.owner = :dead_owner) AND gateway_turns.state = :state_1;

-- tickets.bury_begun: Passes over a dead ticket that had begun: its record is in doubt.
UPDATE gateway_turns
SET place=:place
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place = :at AND (gateway_turns.lease_until <= :tick OR gateway_turns.owner = :dead_owner) AND gateway_turns.state = :state_1;

-- tickets.withdraw_waiting: Takes back a ticket that has not begun.
DELETE FROM gateway_turns
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.state = :state_1;

-- tickets.withdraw_begun: Takes back a ticket that has begun.
UPDATE gateway_turns
SET place=:place
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.state = :state_1;

-- tickets.by_key: The turn that an idempotency key belongs to.
SELECT gateway_turns.turn_id, gateway_turns.tenant, gateway_turns.session_id, gateway_turns.state, gateway_turns.workflow, gateway_turns.idempotency_key, gateway_turns.fingerprint, gateway_turns.conversation_id, gateway_turns.generation, gateway_turns.created, gateway_turns.recovered, gateway_turns.response_id, gateway_turns.started_at, gateway_turns.finished_at, gateway_turns.usage, gateway_turns.error_code, gateway_turns.undelivered, gateway_turns.place, gateway_turns.owner, gateway_turns.entered_at, gateway_turns.fence, gateway_turns.lease_until > :tick AS leased
FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.idempotency_key = :key;

-- tickets.free_key: Takes an idempotency key from a turn that it was remembered of for long enough.
UPDATE gateway_turns
SET idempotency_key=:idempotency_key
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.idempotency_key = :key;

-- sessions.get: A session.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session;

-- sessions.get_locked: A session, for a transaction that is going to change it.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session;

-- sessions.some: Some sessions of a tenant.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id IN (:ids, …);

-- sessions.some_locked: Some sessions, for a transaction that is going to change them; in one order for all.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id IN (:ids, …)
ORDER BY gateway_sessions.session_id;

-- sessions.bind: A new session, by the turn that holds it.
INSERT INTO gateway_sessions (tenant, session_id, conversation_id, created_at, last_used, expires_at, status, user_id, data, metadata, generation, turns, revision)
SELECT :tenant AS tenant, :session_id AS session_id, :conversation_id AS conversation_id, :created_at AS created_at, :last_used AS last_used, :expires_at AS expires_at, :status AS status, :user_id AS user_id, :data AS data, :metadata AS metadata, :generation AS generation, :turns AS turns, :revision AS revision
FROM gateway_turns
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place = :place_1;

-- sessions.insert: A new session.
INSERT INTO gateway_sessions (tenant, session_id, conversation_id, created_at, last_used, expires_at, status, user_id, data, metadata, generation, turns, revision)
VALUES (:tenant, :session_id, :conversation_id, :created_at, :last_used, :expires_at, :status, :user_id, :data, :metadata, :generation, :turns, :revision);

-- sessions.replace: Another state of a session, made elsewhere.
UPDATE gateway_sessions
SET conversation_id=:new_conversation_id, created_at=:new_created_at, last_used=:new_last_used, expires_at=:new_expires_at, status=:new_status, user_id=:new_user_id, data=:new_data, metadata=:new_metadata, generation=:new_generation, turns=:new_turns, revision=(gateway_sessions.revision + :revision_1)
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session;

-- sessions.rebind: The session's next conversation: all else stays, for clients may be editing it.
UPDATE gateway_sessions
SET conversation_id=:new_conversation_id, generation=:new_generation
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session AND gateway_sessions.conversation_id = :conversation AND gateway_sessions.generation = :old_generation;

-- sessions.rebind_whole: A session in place of one that expired.
UPDATE gateway_sessions
SET conversation_id=:new_conversation_id, created_at=:new_created_at, last_used=:new_last_used, expires_at=:new_expires_at, status=:new_status, user_id=:new_user_id, data=:new_data, metadata=:new_metadata, generation=:new_generation, turns=:new_turns, revision=(gateway_sessions.revision + :revision_1)
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session AND gateway_sessions.conversation_id = :conversation AND gateway_sessions.generation = :old_generation;

-- sessions.swap: An edit of what nobody has edited since it was read.
UPDATE gateway_sessions
SET status=:new_status, data=:new_data, metadata=:new_metadata, revision=(gateway_sessions.revision + :revision_1)
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session AND gateway_sessions.conversation_id = :conversation AND gateway_sessions.revision = :revision;

-- sessions.rename: Gives a session another name.
UPDATE gateway_sessions
SET session_id=:new_session_id, user_id=:new_user_id, data=:new_data, metadata=:new_metadata, revision=(gateway_sessions.revision + :revision_1)
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session;

-- sessions.drop: Removes a session.
DELETE FROM gateway_sessions
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session AND gateway_sessions.conversation_id = :conversation;

-- sessions.expired: Sessions that have expired, and whether a ticket is in their queue.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, EXISTS (SELECT gateway_turns.turn_id
FROM gateway_turns
WHERE gateway_turns.tenant = gateway_sessions.tenant AND gateway_turns.session_id = gateway_sessions.session_id AND gateway_turns.place >= :place_1) AS wanted
FROM gateway_sessions
WHERE gateway_sessions.expires_at <= :late AND gateway_sessions.status != :status_1
ORDER BY gateway_sessions.expires_at

LIMIT :most OFFSET :param_1;

-- sessions.deserted: Sessions that have expired and in whose queue nobody is, for a transaction that is going to drop them.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id
FROM gateway_sessions
WHERE gateway_sessions.expires_at <= :late AND gateway_sessions.status != :status_1 AND NOT (EXISTS (SELECT gateway_turns.turn_id
FROM gateway_turns
WHERE gateway_turns.tenant = gateway_sessions.tenant AND gateway_turns.session_id = gateway_sessions.session_id AND gateway_turns.place >= :place_1))
ORDER BY gateway_sessions.expires_at

LIMIT :most OFFSET :param_1;

-- records.write: Writes the record of a turn that holds its session.
UPDATE gateway_turns
SET state=:new_state, conversation_id=:new_conversation_id, generation=:new_generation, created=:new_created, recovered=:new_recovered, response_id=:new_response_id, started_at=:new_started_at
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place = :place_1;

-- records.end: Writes the end of a turn, and frees its session.
UPDATE gateway_turns
SET state=:new_state, place=:place, idempotency_key=CASE WHEN (:new_idempotency_key IS NULL) THEN NULL ELSE gateway_turns.idempotency_key END, response_id=:new_response_id, finished_at=:new_finished_at, usage=:new_usage, error_code=:new_error_code, undelivered=:new_undelivered
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.place = :place_1;

-- records.use: Writes what a turn that ended made of its session.
UPDATE gateway_sessions
SET last_used=CASE WHEN (gateway_sessions.last_used < :new_last_used) THEN :new_last_used ELSE gateway_sessions.last_used END, expires_at=:new_expires_at, turns=:new_turns
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session AND gateway_sessions.conversation_id = :conversation;

-- records.settle: Writes the end of a turn that a crash cut off.
UPDATE gateway_turns
SET state=:new_state, idempotency_key=CASE WHEN (:new_idempotency_key IS NULL) THEN NULL ELSE gateway_turns.idempotency_key END, response_id=:new_response_id, finished_at=:new_finished_at, usage=:new_usage, error_code=:new_error_code, undelivered=:new_undelivered
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.state = :state_1 AND gateway_turns.place IS NULL;

-- records.set_undelivered: Says of an ended turn whether its reply was delivered, to one who says something new.
UPDATE gateway_turns
SET undelivered=:mark
WHERE gateway_turns.turn_id = :ticket AND gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.place IS NULL AND gateway_turns.undelivered != :mark;

-- records.by_ticket: The record of a turn.
SELECT gateway_turns.turn_id, gateway_turns.tenant, gateway_turns.session_id, gateway_turns.state, gateway_turns.workflow, gateway_turns.idempotency_key, gateway_turns.fingerprint, gateway_turns.conversation_id, gateway_turns.generation, gateway_turns.created, gateway_turns.recovered, gateway_turns.response_id, gateway_turns.started_at, gateway_turns.finished_at, gateway_turns.usage, gateway_turns.error_code, gateway_turns.undelivered, gateway_turns.place, gateway_turns.owner, gateway_turns.entered_at, gateway_turns.fence, gateway_turns.lease_until > :tick AS leased
FROM gateway_turns
WHERE gateway_turns.turn_id = :ticket;

-- records.newest: The turns of a session that have begun, newest first.
SELECT gateway_turns.turn_id, gateway_turns.tenant, gateway_turns.session_id, gateway_turns.state, gateway_turns.workflow, gateway_turns.idempotency_key, gateway_turns.fingerprint, gateway_turns.conversation_id, gateway_turns.generation, gateway_turns.created, gateway_turns.recovered, gateway_turns.response_id, gateway_turns.started_at, gateway_turns.finished_at, gateway_turns.usage, gateway_turns.error_code, gateway_turns.undelivered, gateway_turns.place, gateway_turns.owner, gateway_turns.entered_at, gateway_turns.fence, gateway_turns.lease_until > :tick AS leased
FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.state != :state_1 AND gateway_turns.fence < :before
ORDER BY gateway_turns.fence DESC

LIMIT :most OFFSET :param_1;

-- records.responses: The stored responses of a conversation's turns.
SELECT gateway_turns.response_id
FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.conversation_id = :conversation AND gateway_turns.response_id IS NOT NULL

LIMIT :most OFFSET :param_1;

-- records.drop_responses: Forgets responses that are gone at the provider.
UPDATE gateway_turns
SET response_id=:response_id
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.conversation_id = :conversation AND gateway_turns.response_id IN (:responses, …);

-- records.of_response: The session of the turn that has a response.
SELECT gateway_turns.session_id, gateway_turns.conversation_id, gateway_turns.workflow
FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.response_id = :response

LIMIT :param_1 OFFSET :param_2;

-- records.drop: Removes a session's ended turns, but those that an erasure needs and those whose key is young.
DELETE FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.place IS NULL AND NOT (gateway_turns.conversation_id IS NOT NULL AND gateway_turns.conversation_id IN (SELECT gateway_erasures.conversation_id
FROM gateway_erasures
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session)) AND NOT (gateway_turns.idempotency_key IS NOT NULL AND gateway_turns.entered_at > :entered_after);

-- records.hide: No longer lists a session's ended turns; whose key alone is kept goes with its key.
UPDATE gateway_turns
SET fence=:fence, prune_at=CASE WHEN (gateway_turns.conversation_id IS NOT NULL AND gateway_turns.conversation_id IN (SELECT gateway_erasures.conversation_id
FROM gateway_erasures
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session)) THEN gateway_turns.prune_at ELSE gateway_turns.entered_at + :key_ms END
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.place IS NULL AND gateway_turns.fence IS NOT NULL;

-- records.mark: Leaves of an erased conversation's (or whole session's) turns whose key is young a bare mark.
UPDATE gateway_turns
SET session_id=:session_id, state=:state, fence=NULL, workflow=:workflow, conversation_id=NULL, generation=NULL, created=0, recovered=0, response_id=NULL, started_at=NULL, finished_at=NULL, usage=NULL, error_code=NULL, undelivered=0, prune_at=(gateway_turns.entered_at + :key_ms)
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.place IS NULL AND (gateway_turns.conversation_id = :conversation OR :whole = 1 AND NOT (gateway_turns.conversation_id IS NOT NULL AND gateway_turns.conversation_id IN (SELECT gateway_erasures.conversation_id
FROM gateway_erasures
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session))) AND gateway_turns.idempotency_key IS NOT NULL AND gateway_turns.entered_at > :entered_after;

-- records.erase: Removes the other turns of an erased conversation, or whole session.
DELETE FROM gateway_turns
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.place IS NULL AND (gateway_turns.conversation_id = :conversation OR :whole = 1 AND NOT (gateway_turns.conversation_id IS NOT NULL AND gateway_turns.conversation_id IN (SELECT gateway_erasures.conversation_id
FROM gateway_erasures
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session)));

-- records.move: Gives a session's ended turns to another session.
UPDATE gateway_turns
SET session_id=:to
WHERE gateway_turns.tenant = :of_tenant AND gateway_turns.session_id = :of_session AND gateway_turns.place IS NULL;

-- records.move_erasures: Gives what is to be erased of a session to another session.
UPDATE gateway_erasures
SET session_id=:to
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session;

-- records.past: The turns whose time is over.
SELECT gateway_turns.number
FROM gateway_turns
WHERE gateway_turns.prune_at <= :now AND (gateway_turns.place IS NULL OR gateway_turns.lease_until <= :tick)
ORDER BY gateway_turns.prune_at

LIMIT :most OFFSET :param_1;

-- records.prune: Removes turns whose time is over.
DELETE FROM gateway_turns
WHERE gateway_turns.number IN (:numbers, …) AND gateway_turns.prune_at <= :now AND (gateway_turns.place IS NULL OR gateway_turns.lease_until <= :tick);

-- erasures.add: A conversation is to be erased, unless it is already.
INSERT INTO gateway_erasures (tenant, session_id, conversation_id, requested_at, whole, attempts, not_before)
SELECT :tenant AS tenant, :session_id AS session_id, :conversation_id AS conversation_id, :requested_at AS requested_at, :whole AS whole, :attempts AS attempts, :not_before AS not_before
FROM (SELECT 1 AS one) AS single
WHERE NOT (EXISTS (SELECT gateway_erasures.conversation_id
FROM gateway_erasures
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session AND gateway_erasures.conversation_id = :conversation));

-- erasures.widen: It was to be erased before: with its session, if one of the two says so, and by whoever says it last.
UPDATE gateway_erasures
SET whole=(gateway_erasures.whole = 1 OR :wider = 1), not_before=CASE WHEN (gateway_erasures.not_before < :new_not_before) THEN :new_not_before ELSE gateway_erasures.not_before END
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session AND gateway_erasures.conversation_id = :conversation;

-- erasures.remove: The conversation is erased, or is not to be.
DELETE FROM gateway_erasures
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session AND gateway_erasures.conversation_id = :conversation;

-- erasures.oldest: All that is to be erased, oldest request first.
SELECT gateway_erasures.tenant, gateway_erasures.session_id, gateway_erasures.conversation_id, gateway_erasures.requested_at, gateway_erasures.whole, gateway_erasures.attempts, gateway_erasures.not_before
FROM gateway_erasures
ORDER BY gateway_erasures.requested_at

LIMIT :most OFFSET :param_1;

-- erasures.due: What may be tried now, the longest due first.
SELECT gateway_erasures.tenant, gateway_erasures.session_id, gateway_erasures.conversation_id, gateway_erasures.requested_at, gateway_erasures.whole, gateway_erasures.attempts, gateway_erasures.not_before
FROM gateway_erasures
WHERE gateway_erasures.not_before <= :now
ORDER BY gateway_erasures.not_before

LIMIT :most OFFSET :param_1;

-- erasures.claim: Takes one that nobody has taken since it was seen.
UPDATE gateway_erasures
SET not_before=:new_not_before
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session AND gateway_erasures.conversation_id = :conversation AND gateway_erasures.not_before = :seen;

-- erasures.postpone: When it may be tried again, and how often it failed.
UPDATE gateway_erasures
SET attempts=:new_attempts, not_before=:new_not_before
WHERE gateway_erasures.tenant = :of_tenant AND gateway_erasures.session_id = :of_session AND gateway_erasures.conversation_id = :conversation;

-- erasures.begin: From now on the session takes no turns.
UPDATE gateway_sessions
SET status=:status, revision=(gateway_sessions.revision + :revision_1)
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session AND gateway_sessions.conversation_id = :conversation;

-- erasures.drop_mapping: Removes the session that was to be erased.
DELETE FROM gateway_sessions
WHERE gateway_sessions.tenant = :of_tenant AND gateway_sessions.session_id = :of_session AND gateway_sessions.conversation_id = :conversation AND gateway_sessions.status = :param_1;

-- owners.kept: Those of some ids of which anything is known.
SELECT gateway_given.given_id
FROM gateway_given
WHERE gateway_given.tenant = :of_tenant AND gateway_given.given_id IN (:ids, …);

-- owners.remembered: Those of some ids that the tenant was given.
SELECT gateway_given.given_id
FROM gateway_given
WHERE gateway_given.tenant = :of_tenant AND gateway_given.given_id IN (:ids, …) AND gateway_given.until > :now;

-- owners.remember: The tenant was given an id.
INSERT INTO gateway_given (tenant, given_id, until)
VALUES (:tenant, :given_id, :until);

-- owners.prolong: The tenant was given ids again.
UPDATE gateway_given
SET until=:longer
WHERE gateway_given.tenant = :of_tenant AND gateway_given.given_id IN (:ids, …);

-- owners.past: The ids whose time is over.
SELECT gateway_given.tenant, gateway_given.given_id
FROM gateway_given
WHERE gateway_given.until <= :now
ORDER BY gateway_given.until

LIMIT :most OFFSET :param_1;

-- owners.prune: Removes an id whose time is over.
DELETE FROM gateway_given
WHERE gateway_given.tenant = :of_tenant AND gateway_given.given_id = :id AND gateway_given.until <= :now;

-- owners.add_key: A new API key.
INSERT INTO gateway_keys (name, digest, tenant, role, user_id, created_at)
VALUES (:name, :digest, :tenant, :role, :user_id, :created_at);

-- owners.keys: Every API key.
SELECT gateway_keys.name, gateway_keys.digest, gateway_keys.tenant, gateway_keys.role, gateway_keys.user_id, gateway_keys.created_at
FROM gateway_keys;

-- owners.find_key: The API key of that name.
SELECT gateway_keys.name, gateway_keys.digest, gateway_keys.tenant, gateway_keys.role, gateway_keys.user_id, gateway_keys.created_at
FROM gateway_keys
WHERE gateway_keys.name = :named;

-- owners.remove_key: Removes an API key.
DELETE FROM gateway_keys
WHERE gateway_keys.name = :named;

-- sessions.page: The first page of a tenant's sessions, newest use first.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE (gateway_sessions.expires_at IS NULL OR gateway_sessions.expires_at > :expires_at_1) AND gateway_sessions.tenant = :tenant_1
ORDER BY gateway_sessions.last_used DESC, gateway_sessions.session_id DESC, gateway_sessions.tenant DESC

LIMIT :param_1 OFFSET :param_2;

-- sessions.page_after: The page behind a session.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE (gateway_sessions.expires_at IS NULL OR gateway_sessions.expires_at > :expires_at_1) AND gateway_sessions.tenant = :tenant_1 AND gateway_sessions.last_used <= :last_used_1 AND (gateway_sessions.last_used, gateway_sessions.session_id, gateway_sessions.tenant) < (:param_1, :param_2, :param_3)
ORDER BY gateway_sessions.last_used DESC, gateway_sessions.session_id DESC, gateway_sessions.tenant DESC

LIMIT :param_4 OFFSET :param_5;

-- sessions.page_of_user: The sessions of a user.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE (gateway_sessions.expires_at IS NULL OR gateway_sessions.expires_at > :expires_at_1) AND gateway_sessions.tenant = :tenant_1 AND gateway_sessions.user_id = :user_id_1
ORDER BY gateway_sessions.last_used DESC, gateway_sessions.session_id DESC, gateway_sessions.tenant DESC

LIMIT :param_1 OFFSET :param_2;

-- sessions.page_of_status: The sessions of a status.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE (gateway_sessions.expires_at IS NULL OR gateway_sessions.expires_at > :expires_at_1) AND gateway_sessions.tenant = :tenant_1 AND gateway_sessions.status = :status_1 AND status <> 'active'
ORDER BY gateway_sessions.last_used DESC, gateway_sessions.session_id DESC, gateway_sessions.tenant DESC

LIMIT :param_1 OFFSET :param_2;

-- sessions.page_of_all: The sessions of every tenant, for the command line.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE gateway_sessions.expires_at IS NULL OR gateway_sessions.expires_at > :expires_at_1
ORDER BY gateway_sessions.last_used DESC, gateway_sessions.session_id DESC, gateway_sessions.tenant DESC

LIMIT :param_1 OFFSET :param_2;

-- sessions.made: The tenant's sessions, newest made first.
SELECT gateway_sessions.tenant, gateway_sessions.session_id, gateway_sessions.conversation_id, gateway_sessions.created_at, gateway_sessions.last_used, gateway_sessions.expires_at, gateway_sessions.status, gateway_sessions.user_id, gateway_sessions.data, gateway_sessions.metadata, gateway_sessions.generation, gateway_sessions.turns, gateway_sessions.revision
FROM gateway_sessions
WHERE gateway_sessions.tenant = :tenant_1 AND (gateway_sessions.expires_at IS NULL OR gateway_sessions.expires_at > :expires_at_1) AND gateway_sessions.created_at <= :created_at_1 AND (gateway_sessions.created_at, gateway_sessions.session_id) < (:param_1, :param_2)
ORDER BY gateway_sessions.created_at DESC, gateway_sessions.session_id DESC

LIMIT :param_3 OFFSET :param_4;
