-- The members of KEYS[1] that begin with ARGV[1], with their scores in KEYS[2]: {member, score, …}.
-- nil when there are more than ARGV[2].
local first, last = '[' .. ARGV[1], '(' .. ARGV[1] .. '\255'
if redis.call('ZLEXCOUNT', KEYS[1], first, last) > tonumber(ARGV[2]) then return false end
local answer = {}
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], first, last)) do
  local score = redis.call('ZSCORE', KEYS[2], member)
  if score then answer[#answer + 1], answer[#answer + 2] = member, score end
end
return answer
