-- after: tenant
-- keys: turn
-- args: turn_id session_id
-- Answers {now, the turn as recorded}: false when it is not this session's (any more), or waited and died.
local name, history = session_of(turn_id)
if name ~= session_id then return {now, false} end
if history and redis.call('HGET', tenant .. 'session:' .. session_id, 'history') ~= history then return {now, false} end
local found = recorded(turn_id)
if found and found[3] == 0 and redis.call('HGET', turn, 'state') == 'waiting' then return {now, false} end
return {now, found}
