-- after: indices
-- args: history found:list mapping:list
-- Writes the session whole if it still says what was found (empty: nothing). Answers {now, whether it was written}; not a
-- second time, if this very step is sent twice: whoever reads again finds it as wanted.
local there = redis.call('EXISTS', session) == 1
if there ~= (#found > 0) or not says(session, found) then return {now, 0} end
unfile(session_id)
write_fields(session, mapping)
redis.call('HSETNX', session, 'history', history)
redis.call('HSET', session, 'revision', math.max(now, (tonumber(redis.call('HGET', session, 'revision')) or 0) + 1))
file(session, session_id)
resume_expiry()
if redis.call('HGET', lock, 'holder') then suspend_expiry() end
return {now, 1}
