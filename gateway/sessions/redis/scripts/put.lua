-- Writes the session whole if it is still as it was read. ARGV: 4 how many fields were read, their names, their values
-- (empty: none), then the fields to be and their values. Answers {now, whether it was written}; not a second time, if
-- this very step is sent twice: whoever reads again finds it as wanted.
local count = tonumber(ARGV[4])
local was = redis.call('HMGET', session, unpack(ARGV, 5, 4 + count))
for i = 1, count do
  if (was[i] or '') ~= ARGV[4 + count + i] then return {now, 0} end
end
redis.call('DEL', session)
redis.call('HSET', session, unpack(ARGV, 5 + 2 * count))
local ends = tonumber(redis.call('HGET', session, 'expires_at'))
if expiring and ends and redis.call('HGET', lock, 'holder') then
  redis.call('PEXPIREAT', session, math.max(ends, now + 2 * lease))
else
  resume_expiry()
end
return {now, 1}
