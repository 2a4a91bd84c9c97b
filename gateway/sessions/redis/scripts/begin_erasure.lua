-- Marks the session as erasing. ARGV: 4 its conversation, 5 the erasure.
-- Answers {now, whether the turn holds the session}.
if not held() then return {now, 0} end
if redis.call('HGET', session, 'conversation_id') == ARGV[4] then
  redis.call('HSET', session, 'status', 'erasing')
  redis.call('HSET', erasures, ARGV[4], ARGV[5])
  redis.call('PERSIST', session)  -- what is to be erased must not be forgotten before
end
return {now, 1}
