-- after: session
-- Answers {now, 1} while a live turn holds the session.
local holder = redis.call('HGET', lock, 'holder')
return {now, holder and lives(holder, session_id) and 1 or 0}
