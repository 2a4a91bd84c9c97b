-- after: session
-- Where the ticket stands. Whoever asks lives.
if redis.call('ZSCORE', queue, turn_id) then renew(turn_id) end
advance()
return standing()
