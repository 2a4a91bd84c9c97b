-- after: indices
-- args: conversation_id cursor most:number
-- A part of an erasure's end: drops its turns, and when none is left the erasure itself; with a whole one the mapping goes,
-- and all turns of the session by which nothing else is to be erased. Answers {now, where to go on, or empty at the end}.
local erasures, member = tenant .. 'erasures:' .. session_id, session_id .. '/' .. conversation_id
local text = redis.call('HGET', erasures, conversation_id)
if not text then return {now, ''} end
local erasure = cjson.decode(text)
local bound, status = unpack(redis.call('HMGET', session, 'conversation_id', 'status'))
local whole = erasure.whole and bound == conversation_id and status == 'erasing'
local next = drop_from(erasure.history, cursor, most, function(id)
  local of = redis.call('HGET', turn_key(id), 'conversation_id')
  return of == conversation_id or (whole and redis.call('HEXISTS', erasures, of or '') == 0)
end)
if next ~= '' then return {now, next} end

redis.call('HDEL', erasures, conversation_id)
redis.call('ZREM', tenant .. 'erasing', member)
redis.call('ZREM', tenant .. 'requested', member)
redis.call('UNLINK', tenant .. 'responses:' .. conversation_id)
if whole then
  unfile(session_id)
  redis.call('DEL', session)
  advance()
end
return {now, ''}
