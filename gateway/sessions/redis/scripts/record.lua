-- after: session
-- args: at:number record_ms:number record:list
-- What writes a turn's record (fields and values), `at` this time of the clock that rules the lifetime of sessions.
local turn = turn_key(turn_id)
local written = {}
for i = 1, #record, 2 do written[record[i]] = record[i + 1] end

-- From when it begins a turn belongs to its session's history, newest last; what is older than `record_ms` goes.
local function begin()
  local entered_at, history = unpack(redis.call('HMGET', turn, 'entered_at', 'history'))
  if history then return end
  history = redis.call('HGET', session, 'history')
  if not history then  -- of a mapping that a hand wrote, or that is gone
    history = turn_id
    if redis.call('EXISTS', session) == 1 then redis.call('HSET', session, 'history', history) end
  end
  redis.call('HSET', turn, 'history', history)
  redis.call('HDEL', turn, 'session_id')
  redis.call('PEXPIRE', turn, record_ms - (at - (tonumber(entered_at) or at)))
  redis.call('SET', tenant .. 'history:' .. history, session_id, 'PX', record_ms)
  local log = tenant .. 'log:' .. history
  local newest = redis.call('ZREVRANGE', log, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', log, math.max(at, (tonumber(newest) or 0) + 1), turn_id)
  redis.call('PEXPIRE', log, record_ms)
end

-- The first few of a sorted set that are past their time.
local function outdated(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', at - record_ms, 'LIMIT', 0, 10)
end

-- Keeps whose the response is, for as long as the record.
local function keep_response()
  local response_id = written.response_id
  local conversation_id = written.conversation_id or redis.call('HGET', turn, 'conversation_id')
  if response_id == '' or not conversation_id or conversation_id == '' or redis.call('HGET', turn, 'response_id') == response_id then return end
  redis.call('SET', tenant .. 'response:' .. response_id, turn_id, 'PX', record_ms)
  local responses = tenant .. 'responses:' .. conversation_id
  redis.call('ZADD', responses, at, response_id)
  redis.call('PEXPIRE', responses, record_ms)
  for _, old in ipairs(outdated(responses)) do redis.call('ZREM', responses, old) end
end

local function write_record()
  keep_response()
  if written.idempotency_key == '' then free(redis.call('HGET', turn, 'idempotency_key'), turn_id) end
  write_fields(turn, record)
end
