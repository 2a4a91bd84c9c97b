-- The record of the turn ARGV[1]: {now, record or false, whether it lives}.
local record, live = redis.call('HGET', turns, turn_id), is_live(turn_id)
if not live and not redis.call('ZSCORE', log, turn_id) then record = false end
return {now, record, live and 1 or 0}
