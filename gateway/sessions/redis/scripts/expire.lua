-- Drops the session if it has expired by the time ARGV[4] and no turn holds it; with an erasure ARGV[5] (else empty) its
-- conversation is to be erased from then on. Answers {now, what became of it, its user_id or false}.
local bound = redis.call('HMGET', session, 'conversation_id', 'status', 'expires_at', 'user_id')
if not bound[1] then return {now, 'gone', false} end
if bound[2] == 'erasing' or not bound[3] or tonumber(bound[3]) > tonumber(ARGV[4]) then
  return {now, 'lives', bound[4]}
end
advance()
if redis.call('HGET', lock, 'holder') then return {now, 'held', bound[4]} end
if ARGV[5] ~= '' then redis.call('HSETNX', erasures, bound[1], ARGV[5]) end
redis.call('DEL', session)
return {now, 'dropped', bound[4]}
