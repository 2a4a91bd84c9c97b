-- Puts the ticket at the queue's end. ARGV: 4 its record, 5 how many may wait.
-- Answers its standing; before is -1 when the session is busy, -2 when its queue is full.
advance()
if not redis.call('ZSCORE', queue, turn_id) then
  local there, limit = redis.call('ZCARD', queue), tonumber(ARGV[5])
  if there > 0 and limit == 0 then return {now, -1, 0, false} end
  if there > limit then return {now, -2, 0, false} end  -- one of those there holds, the others wait
  redis.call('ZADD', queue, next_number(), turn_id)
  redis.call('ZADD', leases, now + lease, turn_id)
  redis.call('HSET', turns, turn_id, ARGV[4])
  if there == 0 then advance() end
  keep_tickets()
  keep_records()
end
return standing()
