-- The record of an open turn. ARGV: 4 the record, 5 when it began (empty: not yet). Answers {now, whether written}.
if not held() then return {now, 0} end
redis.call('HSET', turns, turn_id, ARGV[4])
if ARGV[5] ~= '' then enter_log(tonumber(ARGV[5])) end
return {now, 1}
