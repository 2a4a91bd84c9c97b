-- after: record
-- The end of a turn that a crash cut off. Answers {now, whether it was in doubt}.
advance()
if redis.call('ZSCORE', queue, turn_id) then return {now, 0} end
if redis.call('HGET', turn, 'state') ~= 'running' then return {now, says(turn, record) and 1 or 0} end
write_record()
return {now, 1}
