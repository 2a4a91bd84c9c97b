-- after: indices
-- args: conversation_id requested_at:number not_before:number
-- Marks the session as erasing. Answers {now, 'lost'}, {now, 'absent'} or {now, 'begun'}.
if not holds() then return {now, 'lost'} end
local bound, history, status = unpack(redis.call('HMGET', session, 'conversation_id', 'history', 'status'))
if bound ~= conversation_id then return {now, 'absent'} end
add_erasure(conversation_id, history or '', requested_at, not_before, true)
if status ~= 'erasing' then
  set_status('erasing')
  redis.call('HINCRBY', session, 'revision', 1)
end
redis.call('PERSIST', session)  -- what is to be erased must not be forgotten before
return {now, 'begun'}
