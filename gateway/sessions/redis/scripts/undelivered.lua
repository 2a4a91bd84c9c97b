-- after: tenant
-- keys: turn
-- args: undelivered:flag
-- Sets or clears the mark of an ended turn. Answers {now, whether that changed it}.
local state, marked = unpack(redis.call('HMGET', turn, 'state', 'undelivered'))
if not state or state == 'waiting' or state == 'running' or (marked == '1') == undelivered then return {now, 0} end
write_fields(turn, {'undelivered', undelivered and '1' or ''})
return {now, 1}
