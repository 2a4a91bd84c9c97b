-- Frees the idempotency key KEYS[1] if it belongs to the turn ARGV[1].
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return false
