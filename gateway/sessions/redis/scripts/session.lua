-- after: tenant
-- keys: session lock queue leases
-- args: session_id turn_id lease_ms:number ticket_ms:number expiring:flag
-- What several steps of one session need. `turn_id` is whose step it is (empty: nobody's turn), `lease_ms` how long a ticket
-- lives unrenewed, `ticket_ms` how long one that died is kept at most, `expiring` whether the mapping may go by itself.

-- Tickets and fences are numbered out of one series, which goes on even if the clock steps back. It is forgotten with the
-- last ticket: a fence is only compared with others of its time.
local function next_number()
  local number = math.max((tonumber(redis.call('HGET', lock, 'last')) or 0) + 1, now)
  redis.call('HSET', lock, 'last', number)
  return number
end

-- Whether it is written as the holder. Its lease is nobody's affair as long as nobody else came.
local function holds() return redis.call('HGET', lock, 'holder') == turn_id end

-- During a turn the mapping outlives the lease; if the holder crashes it still goes by itself, a little later.
local function suspend_expiry()
  if expiring then
    local left = redis.call('PTTL', session)
    if left >= 0 and left < 2 * lease_ms then redis.call('PEXPIRE', session, 2 * lease_ms) end
  end
end

local function resume_expiry()
  local bound = redis.pcall('HMGET', session, 'expires_at', 'status')
  if bound.err then return end  -- something else by that name: its queue goes on all the same
  if expiring and bound[1] and bound[2] ~= 'erasing' then
    redis.call('PEXPIREAT', session, bound[1])
  else
    redis.call('PERSIST', session)
  end
end

-- One that has not begun leaves no record, and frees its idempotency key.
local function take_out(id)
  redis.call('ZREM', queue, id)
  redis.call('ZREM', leases, id)
  if redis.call('HGET', lock, 'holder') == id then
    redis.call('HDEL', lock, 'holder', 'fence')
    resume_expiry()
  end
  local state, idempotency_key = unpack(redis.call('HMGET', turn_key(id), 'state', 'idempotency_key'))
  if state == 'waiting' then
    free(idempotency_key, id)
    redis.call('DEL', turn_key(id))
  end
end

-- A clock that stepped back makes leases end too far from now: no crashed ticket is waited for longer than two of its own.
local function shorten_leases()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, now + 2 * lease_ms, '+inf')) do
    local ends = now + 2 * (tonumber(redis.call('HGET', turn_key(id), 'lease_ms')) or lease_ms)
    if tonumber(redis.call('ZSCORE', leases, id)) > ends then redis.call('ZADD', leases, ends, id) end
  end
end

-- Passes over the dead, and writes the grant: the earliest live ticket holds the session if nobody does.
local function advance()
  shorten_leases()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do take_out(id) end
  if redis.call('HGET', lock, 'holder') then return end
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  if first then
    redis.call('HSET', lock, 'holder', first, 'fence', next_number())
    suspend_expiry()
  elseif redis.call('EXISTS', session) == 0 and (tonumber(redis.call('HGET', lock, 'last')) or 0) < now then
    redis.call('DEL', lock)  -- not even the name of an erased session stays; later numbers are higher all the same
  else
    redis.call('PEXPIRE', lock, 2 * lease_ms)
  end
end

-- Its owner is there: the lease begins anew, and nothing of the queue is kept for much longer.
local function renew(id)
  redis.call('ZADD', leases, now + lease_ms, id)
  for _, key in ipairs({lock, queue, leases, turn_key(id)}) do
    local left = redis.call('PTTL', key)
    if left < ticket_ms then redis.call('PEXPIRE', key, ticket_ms) end
  end
end

-- {now, before, fence, mapping}: where the ticket stands, -1 if it was passed over; with the grant the mapping as it is now,
-- but for something else by that name, which whoever asks for it finds out.
local function standing()
  local before = redis.call('ZRANK', queue, turn_id) or -1
  local mapping = before == 0 and redis.pcall('HGETALL', session)
  if mapping and mapping.err then mapping = false end
  return {now, before, tonumber(redis.call('HGET', lock, 'fence')) or 0, mapping}
end
