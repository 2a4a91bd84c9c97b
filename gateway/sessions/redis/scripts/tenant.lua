-- args: tenant
-- Stands before every script. `tenant` is what all keys of its tenant begin with, so that they share a slot; `now` is this
-- server's clock in epoch milliseconds, on which alone leases run. Each script answers {now, …}.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function turn_key(id) return tenant .. 'turn:' .. id end

-- Writes these fields of a hash {name, value, …}; what is empty is left out, what is not named stays.
local function write_fields(key, fields)
  local there, gone = {}, {}
  for i = 1, #fields, 2 do
    if fields[i + 1] == '' then
      gone[#gone + 1] = fields[i]
    else
      there[#there + 1], there[#there + 2] = fields[i], fields[i + 1]
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  if #there > 0 then redis.call('HSET', key, unpack(there)) end
end

local function says(key, fields)
  for i = 1, #fields, 2 do
    if (redis.call('HGET', key, fields[i]) or '') ~= fields[i + 1] then return false end
  end
  return true
end

-- The session whose turn it is: of one that has begun by its history, which a rename hands on.
local function session_of(id)
  local history, session_id = unpack(redis.call('HMGET', turn_key(id), 'history', 'session_id'))
  if history then return redis.call('GET', tenant .. 'history:' .. history), history end
  return session_id
end

local function lives(id, session_id)
  local ends = session_id and redis.call('ZSCORE', tenant .. 'leases:' .. session_id, id)
  return ends and tonumber(ends) > now
end

-- {fields, its session or false, whether it lives} of a turn, or false.
local function recorded(id)
  local fields = redis.call('HGETALL', turn_key(id))
  if #fields == 0 then return false end
  local session_id = session_of(id)
  return {fields, session_id, lives(id, session_id) and 1 or 0}
end

local function drop(id)
  local response_id, conversation_id = unpack(redis.call('HMGET', turn_key(id), 'response_id', 'conversation_id'))
  if response_id then redis.call('DEL', tenant .. 'response:' .. response_id) end
  if response_id and conversation_id then redis.call('ZREM', tenant .. 'responses:' .. conversation_id, response_id) end
  redis.call('DEL', turn_key(id))
end

-- Drops those turns of a log that `go`, beginning at the score `cursor`, and looks at no more than `most`.
-- Answers where to go on, or an empty text at the end.
local function drop_from(history, cursor, most, go)
  local log = tenant .. 'log:' .. history
  local entries = redis.call('ZRANGEBYSCORE', log, cursor, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #entries, 2 do
    local session_id = session_of(entries[i])
    local open = session_id and redis.call('ZSCORE', tenant .. 'queue:' .. session_id, entries[i])
    if not open and go(entries[i]) then
      drop(entries[i])
      redis.call('ZREM', log, entries[i])
    end
  end
  if #entries == 2 * most then return '(' .. entries[#entries] end
  if redis.call('EXISTS', log) == 0 then redis.call('DEL', tenant .. 'history:' .. history) end
  return ''
end

-- Frees the idempotency key of a turn, if it is this turn's.
local function free(idempotency_key, id)
  local claim = tenant .. 'claim:' .. (idempotency_key or '')
  if idempotency_key and redis.call('HGET', claim, 'turn_id') == id then redis.call('DEL', claim) end
end

-- {claim, the turn as recorded or false}: whose the idempotency key is, if it is that of a turn that entered after `since`
-- and has begun or lives. A claim without its turn is the mark of one that was erased.
local function claimed(idempotency_key, since)
  local claim = redis.call('HGETALL', tenant .. 'claim:' .. idempotency_key)
  if #claim == 0 then return false end
  local turn_id, entered_at = unpack(redis.call('HMGET', tenant .. 'claim:' .. idempotency_key, 'turn_id', 'entered_at'))
  local turn = recorded(turn_id)
  local began = not turn or redis.call('HGET', turn_key(turn_id), 'state') ~= 'waiting' or turn[3] == 1
  return tonumber(entered_at) > since and began and {claim, turn}
end
