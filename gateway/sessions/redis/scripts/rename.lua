-- after: indices
-- keys: target target_lock
-- args: target_id other_turn_id conversation_id revision:number user_id data metadata
-- Moves the session to another name, with what hangs on it. Answers {now, what became of it}.
if not holds() or redis.call('HGET', target_lock, 'holder') ~= other_turn_id then return {now, 'lost'} end
local source = redis.call('HMGET', session, 'conversation_id', 'revision', 'history')
local taken = redis.call('HGET', target, 'conversation_id')
if not source[1] and taken == conversation_id then return {now, 'moved'} end
if source[1] ~= conversation_id then return {now, 'gone'} end
if redis.call('EXISTS', target) == 1 then return {now, 'taken'} end
if (tonumber(source[2]) or 0) ~= revision then return {now, 'edited'} end

unfile(session_id)
unfile(target_id)
redis.call('RENAME', session, target)
write_fields(target, {'session_id', target_id, 'user_id', user_id, 'data', data, 'metadata', metadata})
redis.call('HSET', target, 'revision', revision + 1)
redis.call('HSETNX', target, 'history', turn_id)
file(target, target_id)
if source[3] then redis.call('SET', tenant .. 'history:' .. source[3], target_id, 'XX', 'KEEPTTL') end

local erasures = tenant .. 'erasures:' .. session_id
local entries = redis.call('HGETALL', erasures)
for i = 1, #entries, 2 do
  redis.call('HSET', tenant .. 'erasures:' .. target_id, entries[i], entries[i + 1])
  for _, index in ipairs({tenant .. 'erasing', tenant .. 'requested'}) do
    local score = redis.call('ZSCORE', index, session_id .. '/' .. entries[i])
    redis.call('ZREM', index, session_id .. '/' .. entries[i])
    redis.call('ZADD', index, score, target_id .. '/' .. entries[i])
  end
end
redis.call('DEL', erasures)
return {now, 'moved'}
