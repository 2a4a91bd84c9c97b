-- after: tenant
-- keys: erasing erasures
-- args: session_id conversation_id not_before:number attempts:number
-- Writes when an erasure may be tried, and how often it failed; nothing when it is gone.
local text = redis.call('HGET', erasures, conversation_id)
if text then
  local erasure = cjson.decode(text)
  erasure.attempts = attempts
  redis.call('HSET', erasures, conversation_id, cjson.encode(erasure))
  redis.call('ZADD', erasing, not_before, session_id .. '/' .. conversation_id)
end
return {now}
