-- Enters a session into its tenant's indices. KEYS: used, names, expires, its status's, made, its user's (if it has one).
-- ARGV: session_id, last_used, its name among those that expire, expires_at or empty, created_at.
-- A place in the order of use never goes back: a listing would show the session twice.
for _, key in ipairs({KEYS[1], KEYS[4], KEYS[6]}) do redis.call('ZADD', key, 'GT', ARGV[2], ARGV[1]) end
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('ZADD', KEYS[5], 'GT', ARGV[5], ARGV[1])
if ARGV[4] == '' then
  redis.call('ZREM', KEYS[3], ARGV[3])
else
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[3])
end
return false
