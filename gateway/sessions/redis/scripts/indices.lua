-- after: session
-- What keeps a tenant's indices true: every step that makes, moves or drops a mapping does it in the same script. Where
-- Redis drops one by itself, its name among the names still tells what else to drop: SESSION HISTORY USER.

local function name_of(id)
  return redis.call('ZRANGEBYLEX', tenant .. 'names', '[' .. id .. ' ', '(' .. id .. '!', 'LIMIT', 0, 1)[1]
end

-- Enters the mapping at `key`, or moves it to its place.
local function file(key, id)
  local used, made, status, user, history =
    unpack(redis.call('HMGET', key, 'last_used', 'created_at', 'status', 'user_id', 'history'))
  redis.call('ZADD', tenant .. 'names', 0, id .. ' ' .. (history or '') .. ' ' .. (user or ''))
  redis.call('ZADD', tenant .. 'made', made, id)
  redis.call('ZADD', tenant .. 'used', used, id)
  redis.call('ZADD', tenant .. 'status:' .. status, used, id)
  if user then redis.call('ZADD', tenant .. 'user:' .. user, used, id) end
end

-- Answers the history of the mapping that was in there, or false when there was none.
local function unfile(id)
  local name = name_of(id)
  if not name then return false end
  local history, user = name:match('^%S+ (%S*) (.*)$')
  redis.call('ZREM', tenant .. 'names', name)
  for _, index in ipairs({'made', 'used', 'status:active', 'status:completed', 'status:abandoned', 'status:erasing',
                          'user:' .. user}) do
    redis.call('ZREM', tenant .. index, id)
  end
  return history
end

local function set_status(status)
  local used, was = unpack(redis.call('HMGET', session, 'last_used', 'status'))
  redis.call('ZREM', tenant .. 'status:' .. was, session_id)
  redis.call('ZADD', tenant .. 'status:' .. status, used, session_id)
  redis.call('HSET', session, 'status', status)
end

-- Puts a conversation among the erasures; once more only makes it a whole one.
local function add_erasure(conversation_id, history, requested_at, not_before, whole)
  local erasures, member = tenant .. 'erasures:' .. session_id, session_id .. '/' .. conversation_id
  local known = redis.call('HGET', erasures, conversation_id)
  local erasure = known and cjson.decode(known)
    or {requested_at = requested_at, whole = false, attempts = 0, history = history}
  erasure.whole = erasure.whole or whole
  redis.call('HSET', erasures, conversation_id, cjson.encode(erasure))
  redis.call('ZADD', tenant .. 'erasing', 'GT', not_before, member)
  redis.call('ZADD', tenant .. 'requested', 'NX', requested_at, member)
end
