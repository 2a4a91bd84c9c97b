-- Moves the session, its ended turns and what is to be erased of it to the keys KEYS[9…16], which in a Cluster may be
-- of another slot. ARGV: 4 the turn that holds the other session, 5 the conversation, 6 the new session_id, 7 the
-- user_id (empty: none), 8 and 9 data and metadata as read, 10 and 11 as they are to be under the new name.
-- Answers {now, 1 moved, 0 a turn is lost, -1 the other name is taken or the source is gone, -2 edited since it was read}.
local ends = redis.call('ZSCORE', KEYS[12], ARGV[4])
if not held() or redis.call('HGET', KEYS[10], 'holder') ~= ARGV[4] or not ends or tonumber(ends) <= now then
  return {now, 0}
end
local source, target = redis.call('HGET', session, 'conversation_id'), redis.call('HGET', KEYS[9], 'conversation_id')
if not source and target == ARGV[5] then return {now, 1} end
if source ~= ARGV[5] or target then return {now, -1} end
local kept = redis.call('HMGET', session, 'data', 'metadata')
if kept[1] ~= ARGV[8] or kept[2] ~= ARGV[9] then return {now, -2} end
redis.call('RENAME', session, KEYS[9])
redis.call('HSET', KEYS[9], 'session_id', ARGV[6], 'data', ARGV[10], 'metadata', ARGV[11])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[9], 'user_id', ARGV[7]) end
local entries = redis.call('ZRANGE', log, 0, -1, 'WITHSCORES')
for i = 1, #entries, 2 do
  local id = entries[i]
  if not is_live(id) then
    local record = redis.call('HGET', turns, id)
    if record then redis.call('HSET', KEYS[13], id, record) end
    redis.call('ZADD', KEYS[14], entries[i + 1], id)
    redis.call('HDEL', turns, id)
    redis.call('ZREM', log, id)
  end
end
entries = redis.call('ZRANGE', responses, 0, -1, 'WITHSCORES')
for i = 1, #entries, 2 do redis.call('ZADD', KEYS[15], entries[i + 1], entries[i]) end
redis.call('DEL', responses)
entries = redis.call('HGETALL', erasures)
for i = 1, #entries, 2 do redis.call('HSET', KEYS[16], entries[i], entries[i + 1]) end
redis.call('DEL', erasures)
for i = 13, 15 do redis.call('PEXPIRE', KEYS[i], 30 * DAY) end
return {now, 1}
