-- Turns that have begun, newest first. ARGV: 4 how many, 5 the turn before the first of them (empty: none).
-- Answers {now, id, record, whether it lives, id, …}.
local from = 0
if ARGV[5] ~= '' then
  local rank = redis.call('ZREVRANK', log, ARGV[5])
  if not rank then return {now} end
  from = rank + 1
end
local answer = {now}
for _, id in ipairs(redis.call('ZREVRANGE', log, from, from + ARGV[4] - 1)) do
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('HGET', turns, id)
  answer[#answer + 1] = is_live(id) and 1 or 0
end
return answer
