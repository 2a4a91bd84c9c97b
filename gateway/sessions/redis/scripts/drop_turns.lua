-- after: tenant
-- keys: log
-- args: history cursor most:number at:number key_ms:number
-- Drops the turns of a history that no session has any more, a part at a time; those whose idempotency key is young stay
-- to be recalled by it. Answers {now, where to go on, or empty at the end}.
local next = drop_from(history, cursor, most, function(id)
  local idempotency_key, entered_at = unpack(redis.call('HMGET', turn_key(id), 'idempotency_key', 'entered_at'))
  local left = (tonumber(entered_at) or 0) + key_ms - at
  if not idempotency_key or left <= 0 then return true end
  redis.call('PEXPIRE', turn_key(id), left)
  return false
end)
return {now, next}
