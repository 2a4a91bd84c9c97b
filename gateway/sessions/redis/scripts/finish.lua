-- after: record indices
-- args: conversation_id last_used expires_at turns
-- The end of a turn, and what it made of its session, if that is still bound to this conversation (empty: nothing).
-- Answers {now, whether this end is what is written}.
if not holds() then return {now, says(turn, record) and 1 or 0} end
write_record()
begin()
if conversation_id ~= '' and redis.call('HGET', session, 'conversation_id') == conversation_id then
  redis.call('HSET', session, 'turns', turns)
  if tonumber(last_used) >= (tonumber(redis.call('HGET', session, 'last_used')) or 0) then
    write_fields(session, {'last_used', last_used, 'expires_at', expires_at})
    file(session, session_id)
  end
end
take_out(turn_id)
advance()
local log = tenant .. 'log:' .. redis.call('HGET', turn, 'history')
for _, old in ipairs(outdated(log)) do
  drop(old)
  redis.call('ZREM', log, old)
end
return {now, 1}
