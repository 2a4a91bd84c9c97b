-- Where the ticket stands: {now, before, fence}; before is -1 when it has died.
advance()
local before = redis.call('ZRANK', queue, turn_id)
return {now, before or -1, tonumber(redis.call('HGET', lock, 'fence')) or 0}
