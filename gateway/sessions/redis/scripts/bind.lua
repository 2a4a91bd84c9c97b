-- Binds the session. ARGV: 4 and 5 conversation and generation of what is replaced (empty: nothing), 6 and 7 the old
-- conversation and its erasure (empty: none), 8 `whole` to write a new record or `generation` to go on with the one
-- that is there, 9… the fields and their values.
-- Answers {now, whether the turn holds the session, whether this was written}.
if not held() then return {now, 0, 0} end
local bound = redis.call('HMGET', session, 'conversation_id', 'generation')
if bound[1] and not (bound[1] == ARGV[4] and bound[2] == ARGV[5]) then return {now, 1, 0} end
if ARGV[8] == 'whole' or not bound[1] then redis.call('DEL', session) end
-- A generation changes two fields and leaves the rest to those who edit it meanwhile.
for i = 9, #ARGV, 2 do
  if ARGV[8] == 'whole' or not bound[1] or ARGV[i] == 'conversation_id' or ARGV[i] == 'generation' then
    redis.call('HSET', session, ARGV[i], ARGV[i + 1])
  end
end
local ends = tonumber(redis.call('HGET', session, 'expires_at'))
if expiring and ends then
  redis.call('PEXPIREAT', session, math.max(ends, now + 2 * lease))
else
  redis.call('PERSIST', session)
end
if ARGV[6] ~= '' then redis.call('HSETNX', erasures, ARGV[6], ARGV[7]) end
return {now, 1, 1}
