-- The end of a turn that a crash cut off. ARGV: 4 its record. Answers {now, whether it was in doubt}.
local stored = redis.call('HGET', turns, turn_id)
if not stored or is_live(turn_id) or cjson.decode(stored).state ~= 'running' then
  return {now, stored == ARGV[4] and 1 or 0}
end
redis.call('HSET', turns, turn_id, ARGV[4])
return {now, 1}
