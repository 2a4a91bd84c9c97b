-- after: tenant
-- keys: erasing
-- args: at:number hold_until:number limit:number
-- Takes a tenant's erasures that are due, the longest due first, until `hold_until`.
-- Answers {now, when the next is due or empty, session/conversation, erasure or false, …}.
local answer = {now, ''}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', erasing, '-inf', at, 'LIMIT', 0, limit)) do
  local session_id, conversation_id = member:match('^([^/]*)/(.*)$')
  local erasure = redis.pcall('HGET', tenant .. 'erasures:' .. session_id, conversation_id)
  redis.call('ZADD', erasing, hold_until, member)
  answer[#answer + 1], answer[#answer + 2] = member, type(erasure) == 'string' and erasure
end
answer[2] = redis.call('ZRANGE', erasing, 0, 0, 'WITHSCORES')[2] or ''
return answer
