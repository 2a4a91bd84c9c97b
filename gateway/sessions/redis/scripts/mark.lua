-- The record ARGV[4] of an ended turn becomes ARGV[5]. Answers {now, whether it was the one that is written}.
if is_live(turn_id) or redis.call('HGET', turns, turn_id) ~= ARGV[4] then return {now, 0} end
redis.call('HSET', turns, turn_id, ARGV[5])
return {now, 1}
