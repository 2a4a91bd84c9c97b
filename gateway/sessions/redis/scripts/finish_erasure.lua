-- The conversation ARGV[4] is erased; its session goes with it when ARGV[5] is 1.
-- Answers {now, whether the mapping went, its user_id or false}.
redis.call('HDEL', erasures, ARGV[4])
drop_records(ARGV[4])
local bound = redis.call('HMGET', session, 'conversation_id', 'status', 'user_id')
if ARGV[5] ~= '1' or bound[1] ~= ARGV[4] or bound[2] ~= 'erasing' then return {now, 0, false} end
redis.call('DEL', session)
-- Records of conversations that still wait to be erased are needed for it.
if redis.call('EXISTS', erasures) == 0 then drop_records(nil) end
if redis.call('ZCARD', queue) == 0 then advance() end
return {now, 1, bound[3]}
