-- after: tenant
-- keys: requested erasing
-- args: limit:number
-- A tenant's erasures, oldest request first. Answers {now, session/conversation, erasure or false, when it is due, …}.
local answer = {now}
for _, member in ipairs(redis.call('ZRANGE', requested, 0, limit - 1)) do
  local session_id, conversation_id = member:match('^([^/]*)/(.*)$')
  local erasure = redis.pcall('HGET', tenant .. 'erasures:' .. session_id, conversation_id)
  answer[#answer + 1], answer[#answer + 2] = member, type(erasure) == 'string' and erasure
  answer[#answer + 1] = redis.call('ZSCORE', erasing, member)
end
return answer
