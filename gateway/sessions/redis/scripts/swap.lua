-- after: indices
-- args: conversation_id revision:number data metadata status
-- Edits the session if it is still at this revision and bound to this conversation. Answers {now, whether it is as wanted}.
local is = redis.call('HMGET', session, 'conversation_id', 'revision', 'data', 'metadata', 'status')
if is[1] ~= conversation_id then return {now, 0} end
local found = tonumber(is[2]) or 0
if found ~= revision then
  local done = found == revision + 1 and is[3] == data and is[4] == metadata and is[5] == status
  return {now, done and 1 or 0}
end
redis.call('HSET', session, 'data', data, 'metadata', metadata, 'revision', revision + 1)
set_status(status)
return {now, 1}
