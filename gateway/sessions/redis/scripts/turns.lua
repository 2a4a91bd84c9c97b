-- after: session
-- args: before limit:number
-- The session's turns that have begun, newest first, those before the turn `before` (empty: all).
-- Answers {now, 1, id, turn as recorded, id, …}, or {now} when there is no such turn.
local log = tenant .. 'log:' .. (redis.call('HGET', session, 'history') or '')
local last = '+inf'
if before ~= '' then
  local score = redis.call('ZSCORE', log, before)
  if not score then return {now} end
  last = '(' .. score
end
local answer = {now, 1}
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', log, last, '-inf', 'LIMIT', 0, limit)) do
  local found = recorded(id)
  if found then answer[#answer + 1], answer[#answer + 2] = id, found end
end
return answer
