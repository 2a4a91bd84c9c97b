-- Takes the ticket out and lets the next one in. Answers {now, the record of one that had not begun or false}.
local record = false
if redis.call('ZSCORE', queue, turn_id) then
  record = take_out(turn_id)
  advance()
end
return {now, record}
