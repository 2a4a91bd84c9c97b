-- after: session
-- args: idempotency_key fingerprint entered_at:number key_ms:number queue_limit:number record:list
-- Puts the ticket at the queue's end, and its idempotency key (empty: none) under its name.
-- Answers {now, 'taken', claim, turn}, {now, 'busy'}, {now, 'full'}, or where it stands.
local claim = idempotency_key ~= '' and tenant .. 'claim:' .. idempotency_key
local taken = claim and redis.call('HGET', claim, 'turn_id') ~= turn_id and claimed(idempotency_key, entered_at - key_ms)
if taken then return {now, 'taken', taken[1], taken[2]} end
advance()
if not redis.call('ZSCORE', queue, turn_id) then
  local there = redis.call('ZCARD', queue)
  if there > 0 and queue_limit == 0 then return {now, 'busy'} end
  if there > queue_limit then return {now, 'full'} end  -- one of those there holds, the others wait
  redis.call('ZADD', queue, next_number(), turn_id)
  write_fields(turn_key(turn_id), record)
  redis.call('HSET', turn_key(turn_id), 'session_id', session_id, 'entered_at', entered_at, 'lease_ms', lease_ms)
  if claim then
    redis.call('DEL', claim)
    write_fields(claim, {'turn_id', turn_id, 'entered_at', entered_at, 'fingerprint', fingerprint})
    redis.call('PEXPIRE', claim, key_ms)
  end
end
renew(turn_id)
advance()
return standing()
