-- Stands before every script of one session: the names of its keys (all of one slot), and what several steps need.
-- Each step answers {now, …}, where `now` is this server's clock in epoch milliseconds; leases run on it alone.
local session, lock, queue, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local turns, log, responses, erasures = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
-- Whose step it is, how long a ticket lives unrenewed, and whether the mapping may vanish by itself (`expiring`).
local turn_id, lease, expiring = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'

local DAY = 86400000
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Tickets and fences are numbered out of one series that grows for ever, even if the clock steps back.
local function next_number()
  local number = math.max((tonumber(redis.call('HGET', lock, 'last')) or 0) + 1, now)
  redis.call('HSET', lock, 'last', number)
  return number
end

local function is_live(id)
  local ends = redis.call('ZSCORE', leases, id)
  return ends and tonumber(ends) > now
end

local function held()
  return redis.call('HGET', lock, 'holder') == turn_id and is_live(turn_id)
end

-- During a turn the mapping outlives the lease; if the holder crashes it still goes by itself, a little later.
local function suspend_expiry()
  if expiring then
    local left = redis.call('PTTL', session)
    if left >= 0 and left < 2 * lease then redis.call('PEXPIRE', session, 2 * lease) end
  end
end

local function resume_expiry()
  local ends, status = unpack(redis.call('HMGET', session, 'expires_at', 'status'))
  if expiring and ends and status ~= 'erasing' then
    redis.call('PEXPIREAT', session, ends)
  else
    redis.call('PERSIST', session)
  end
end

-- One that has not begun leaves no record. Answers the record that went, or false.
local function take_out(id)
  redis.call('ZREM', queue, id)
  redis.call('ZREM', leases, id)
  if redis.call('HGET', lock, 'holder') == id then
    redis.call('HDEL', lock, 'holder', 'fence')
    resume_expiry()
  end
  if redis.call('ZSCORE', log, id) then return false end
  local record = redis.call('HGET', turns, id)
  redis.call('HDEL', turns, id)
  return record
end

-- Passes over the dead, and writes the grant: the earliest live ticket holds the session if nobody does.
local function advance()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do take_out(id) end
  if redis.call('HGET', lock, 'holder') then return end
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  if first then
    redis.call('HSET', lock, 'holder', first, 'fence', next_number())
    suspend_expiry()
  elseif redis.call('EXISTS', session) == 0 and (tonumber(redis.call('HGET', lock, 'last')) or 0) < now then
    redis.call('DEL', lock)  -- not even the name of an erased session stays; later numbers are higher all the same
  else
    redis.call('PEXPIRE', lock, 10000)
  end
end

-- {now, before, fence, session}: where the ticket stands, -1 if it has died, and with the grant the mapping as it is now.
local function standing()
  local before = redis.call('ZRANK', queue, turn_id) or -1
  local fields = before == 0 and redis.pcall('HGETALL', session)
  if fields and fields.err then fields = false end  -- something else by that name: it is asked for again, and found out
  return {now, before, tonumber(redis.call('HGET', lock, 'fence')) or 0, fields}
end

-- No ticket outlives its process by more than its lease, so that nothing of them needs to be kept for long.
local function keep_tickets()
  for _, key in ipairs({lock, queue, leases}) do redis.call('PEXPIRE', key, DAY + lease) end
end

local function keep_records()
  for _, key in ipairs({turns, log, responses}) do redis.call('PEXPIRE', key, 30 * DAY) end
end

-- A turn that has begun is in the log, newest last, by the time `at` of the clock that rules the sessions' lifetime.
local function enter_log(at)
  if not redis.call('ZSCORE', log, turn_id) then
    local newest = redis.call('ZREVRANGE', log, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', log, math.max(at, (tonumber(newest) or 0) + 1), turn_id)
    keep_records()
  end
end

-- Of records older than a day and beyond the newest 50, at most `most`, the response ids stay and nothing else.
local function trim(at, most)
  local spare = redis.call('ZCARD', log) - 50
  if spare <= 0 then return 0 end
  local old = redis.call('ZRANGEBYSCORE', log, '-inf', at - DAY, 'WITHSCORES', 'LIMIT', 0, math.min(spare, most))
  for i = 1, #old, 2 do
    local record = cjson.decode(redis.call('HGET', turns, old[i]) or '{}')
    if record.response_id and record.conversation_id then
      redis.call('ZADD', responses, old[i + 1], record.conversation_id .. ' ' .. record.response_id)
    end
    redis.call('HDEL', turns, old[i])
    redis.call('ZREM', log, old[i])
  end
  redis.call('ZREMRANGEBYSCORE', responses, '-inf', at - 30 * DAY)
  return #old / 2
end

-- The records of turns that have ended; those of `conversation` only, or all (nil).
local function drop_records(conversation)
  for _, id in ipairs(redis.call('ZRANGE', log, 0, -1)) do
    local record = cjson.decode(redis.call('HGET', turns, id) or '{}')
    if not is_live(id) and (not conversation or record.conversation_id == conversation) then
      redis.call('HDEL', turns, id)
      redis.call('ZREM', log, id)
    end
  end
  local start = conversation and conversation .. ' ' or ''
  for _, member in ipairs(redis.call('ZRANGE', responses, 0, -1)) do
    if member:sub(1, #start) == start then redis.call('ZREM', responses, member) end
  end
end
