-- Removes the mapping to ARGV[4]; with an erasure ARGV[5] (else empty) its conversation is to be erased, without one
-- its ended turn records go too. Answers {now, whether the turn holds the session}.
if not held() then return {now, 0} end
local bound = redis.call('HGET', session, 'conversation_id')
if bound and bound ~= ARGV[4] then return {now, 1} end
redis.call('DEL', session)
if ARGV[5] ~= '' then
  redis.call('HSETNX', erasures, ARGV[4], ARGV[5])
else
  drop_records(nil)
end
return {now, 1}
