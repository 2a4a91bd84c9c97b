-- after: session
-- Takes the ticket out and lets the next one in.
if redis.call('ZSCORE', queue, turn_id) then
  take_out(turn_id)
  advance()
end
return {now}
