-- Gives the idempotency key KEYS[1] to the turn ARGV[1] for ARGV[3] milliseconds, if it is free or still belongs to the
-- turn ARGV[2], which is known to be dead. Answers whose it is instead, or nil.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] then return owner end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return false
