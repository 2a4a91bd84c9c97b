-- after: tenant
-- keys: response
-- Answers {now, session, conversation, workflow} of the turn with this response, {now} when there is none.
local turn_id = redis.call('GET', response)
local name, history = nil, nil
if turn_id then name, history = session_of(turn_id) end
if not name or redis.call('HGET', tenant .. 'session:' .. name, 'history') ~= history then return {now} end
local conversation_id, workflow = unpack(redis.call('HMGET', turn_key(turn_id), 'conversation_id', 'workflow'))
return {now, name, conversation_id, workflow or ''}
