-- after: indices
-- args: conversation_id erase:flag at:number
-- Removes the mapping to this conversation, which with `erase` is to be erased from then on.
-- Answers {now}, or {now, the history whose turns nothing needs any more or empty}.
if not holds() then return {now} end
local bound = redis.call('HGET', session, 'conversation_id')
if bound ~= conversation_id then return {now, ''} end
local history = unfile(session_id) or ''
redis.call('DEL', session)
if erase then
  add_erasure(conversation_id, history, at, at, false)
  history = ''
end
return {now, history}
