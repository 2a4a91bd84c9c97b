-- after: indices
-- args: at:number erase:flag
-- Drops the session if it has expired by the time `at` and no live turn holds it; with `erase` its conversation is to be
-- erased from then on. Answers {now, what became of it, when to look again or empty, the history whose turns nothing needs
-- any more or empty}: gone and dropped it was here, absent before.
if redis.call('EXISTS', session) == 0 then
  local history = unfile(session_id)
  advance()
  return {now, history and 'gone' or 'absent', '', history or ''}
end
local bound = redis.call('HMGET', session, 'conversation_id', 'status', 'expires_at')
if not bound[1] then return redis.error_reply('ERR no conversation_id') end
if bound[2] == 'erasing' or not bound[3] then return {now, 'lives', '', ''} end
if tonumber(bound[3]) > at then return {now, 'lives', bound[3], ''} end
advance()
if redis.call('HGET', lock, 'holder') then return {now, 'held', at + lease_ms, ''} end
local history = unfile(session_id) or ''
if erase then
  add_erasure(bound[1], history, at, at, false)
  history = ''
end
redis.call('DEL', session)
advance()
return {now, 'dropped', '', history}
