-- after: indices
-- args: replaced_id replaced_generation conversation_id generation whole:flag erase_old:flag at:number mapping:list
-- Binds the session, in the place of that conversation and generation (empty: of nothing).
-- Answers {now}, or {now, what is bound now, the history of a forerunner whose turns nothing needs any more or empty}.
if not holds() then return {now} end
local bound = redis.call('HMGET', session, 'conversation_id', 'generation', 'history')
if bound[1] and not (bound[1] == replaced_id and bound[2] == replaced_generation) then
  return {now, redis.call('HGETALL', session), ''}
end
local erased = bound[1] and erase_old
if erased then add_erasure(bound[1], bound[3] or '', at, at, false) end
local forerunner = false
if bound[1] and not whole then
  -- The rest is left to those who edit it meanwhile.
  redis.call('HSET', session, 'conversation_id', conversation_id, 'generation', generation)
else
  forerunner = unfile(session_id)
  redis.call('DEL', session)
  write_fields(session, mapping)
  redis.call('HSET', session, 'history', turn_id, 'revision', now)
  file(session, session_id)
  local ends = redis.call('HGET', session, 'expires_at')
  if expiring and ends then redis.call('PEXPIREAT', session, math.max(tonumber(ends), now + 2 * lease_ms)) end
end
return {now, redis.call('HGETALL', session), not erased and forerunner or ''}
