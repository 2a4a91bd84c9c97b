-- The end of a turn. ARGV: 4 its record, 5 when it ended; of its session, if it has one (else empty): 6 last_used,
-- 7 expires_at or empty, 8 turns. Answers {now, whether this end is what is written, the session's status or false}.
if not held() then return {now, redis.call('HGET', turns, turn_id) == ARGV[4] and 1 or 0, false} end
redis.call('HSET', turns, turn_id, ARGV[4])
enter_log(tonumber(ARGV[5]))
if ARGV[6] ~= '' and redis.call('EXISTS', session) == 1 then
  local used = tonumber(redis.call('HGET', session, 'last_used'))
  redis.call('HSET', session, 'turns', ARGV[8])
  if not used or used <= tonumber(ARGV[6]) then
    redis.call('HSET', session, 'last_used', ARGV[6])
    if ARGV[7] == '' then
      redis.call('HDEL', session, 'expires_at')
    else
      redis.call('HSET', session, 'expires_at', ARGV[7])
    end
  end
end
take_out(turn_id)
advance()
trim(tonumber(ARGV[5]), 10)
keep_records()
return {now, 1, redis.call('HGET', session, 'status')}
